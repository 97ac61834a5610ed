"""What holds for one service as long as it runs: what an operator chooses, names and degrees of places, slots."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from aq_gym.ingestion.stations import off_the_plane
from aq_gym.network import SensorNetwork
from aq_gym.network_checks import as_number
from aq_gym.network_files import location_names
from aq_gym.problem import Problem

_ID = re.compile(r"(?!device_\d)\w[\w .,()'-]{0,63}")  # no slash or colon, which addresses and cursors need


@dataclass(frozen=True)
class Places:
    """What a network's locations are called and where on Earth they are, as its card says; both may be unknown."""

    names: tuple[str, ...] = ()  # (N,) stations; empty: not known
    origin: tuple[float, float] | None = None  # longitude and latitude of the point (0, 0) [degrees, WGS 84]

    @classmethod
    def of(cls, network: SensorNetwork, card: Mapping[str, Any]) -> Places:
        """What the card of a network says; nothing if it is the card of another one."""
        names = location_names(card, network.n_locations)
        origin = card.get("origin")
        if network.coordinates is None or not isinstance(origin, Mapping):
            return cls(names)
        return cls(names, (float(origin["longitude"]), float(origin["latitude"])))

    def name(self, location: int) -> str:
        """The station's name, or the location's number in words."""
        return self.names[location] if self.names else f"Location {location}"

    def device_name(self, m: int, location: int) -> str:
        """The id of the m-th device: its location's name where that can stand in an address, else ``device_<m>``."""
        usable = self.names and self.names.count(self.names[location]) == 1 and _ID.fullmatch(self.names[location])
        return self.names[location] if usable else f"device_{m}"

    def degrees(self, network: SensorNetwork, location: int) -> list[float] | None:
        """Longitude and latitude of a location, as GeoJSON wants them [degrees, WGS 84]; None: not known."""
        if self.origin is None or network.coordinates is None:
            return None
        return [round(float(x), 7) for x in off_the_plane(network.coordinates[location], self.origin)]


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


@dataclass(frozen=True)
class Settings:
    """One service.

    Raises:
        ValueError: a webhook to a host that is not listed, or no positive `largest`.
    """

    problem: Problem  # where the devices stand, their energy, and the map
    database: str = "sqlite:///aq_gym.sqlite3"  # of SQLAlchemy; postgresql+psycopg://... for several processes
    slot_seconds: float = 600.0
    air_seconds: float = 600.0  # what a slot stands for in the air; in a simulation it passes sooner
    most_streams: int = 64  # pages that are sent events at a time; each holds a thread of the web server
    largest: float = 2000.0  # µg/m³; larger readings are refused
    most_body_bytes: int = 2**20
    most_batch: int = 1000  # readings in one request
    rate_per_second: float = 200.0  # requests that write, for each token; a burst of as many is allowed
    operator_token: str = field(default="", repr=False)  # empty: nobody can manage devices
    webhooks: tuple[str, ...] = field(default=(), repr=False)  # URLs that alerts are sent to
    webhook_hosts: tuple[str, ...] = ()  # the only hosts that alerts are sent to
    alert_level: float = 75.0  # µg/m³
    places: Places = field(default_factory=Places)  # names and degrees of the locations

    def __post_init__(self) -> None:
        if as_number("largest", self.largest) <= 0.0:
            raise ValueError(f"largest: expected a positive number [µg/m³], got {self.largest}")
        for url in map(urlsplit, self.webhooks):
            if url.scheme not in ("http", "https") or url.hostname not in self.webhook_hosts:
                listed = ", ".join(self.webhook_hosts) or "none is listed"
                raise ValueError(f"webhooks: expected http(s) to a listed host ({listed}), got {url.hostname!r}")

    @property
    def slots_per_hour(self) -> int:
        """Of the air's time, at least 1."""
        return max(1, round(3600.0 / self.air_seconds))
