"""What a network's locations are called, and where on Earth they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aq_gym.ingestion.stations import off_the_plane
from aq_gym.network import SensorNetwork
from aq_gym.network_files import location_names

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
