"""Which slot it is."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class SlotClock:
    """Slots of equal length since the service began; in a simulation they may be seconds long."""

    began: float  # seconds since 1970, the beginning of slot 0
    slot_seconds: float
    now: Callable[[], float] = time.time

    def slot(self) -> int:
        """The present slot."""
        return int((self.now() - self.began) // self.slot_seconds)

    def begin(self, slot: int) -> float:
        """When a slot begins [s since 1970]."""
        return self.began + slot * self.slot_seconds

    def iso(self, slot: int) -> str:
        """The same as text."""
        return datetime.fromtimestamp(self.begin(slot), UTC).isoformat(timespec="seconds")
