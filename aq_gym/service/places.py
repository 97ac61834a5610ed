"""What a network's locations are called and where on Earth they are, as the network's card says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aq_gym.ingestion.stations import off_the_plane
from aq_gym.network import SensorNetwork


@dataclass(frozen=True)
class Places:
    """Of one network; both may be unknown."""

    names: tuple[str, ...] = ()  # (N,) stations; empty: not known
    origin: tuple[float, float] | None = None  # longitude and latitude of the point (0, 0) [degrees, WGS 84]

    @classmethod
    def of(cls, network: SensorNetwork, card: Mapping[str, Any]) -> Places:
        """What the card of a network says; nothing if it is the card of another one."""
        about = card.get("data")
        stations = card.get("stations") or (about.get("stations") if isinstance(about, Mapping) else None) or ()
        names = tuple(str(name) for name in stations)
        if len(names) != network.n_locations or names == tuple(map(str, range(len(names)))):
            names = ()  # columns without a header are numbered
        origin = card.get("origin")
        if network.coordinates is None or not isinstance(origin, Mapping):
            return cls(names)
        return cls(names, (float(origin["longitude"]), float(origin["latitude"])))

    def name(self, location: int) -> str:
        """The station's name, or the location's number in words."""
        return self.names[location] if self.names else f"Location {location}"

    def degrees(self, network: SensorNetwork, location: int) -> list[float] | None:
        """Longitude and latitude of a location, as GeoJSON wants them [degrees, WGS 84]; None: not known."""
        if self.origin is None or network.coordinates is None:
            return None
        return [round(float(x), 7) for x in off_the_plane(network.coordinates[location], self.origin)]
