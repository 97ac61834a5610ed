"""What an operator chooses for one service, beside the problem and the policy."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aq_gym.network_checks import as_number
from aq_gym.problem import Problem
from aq_gym.service.places import Places


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
