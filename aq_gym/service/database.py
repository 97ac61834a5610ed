"""The tables, and an engine for them: SQLite for one machine, PostgreSQL for several processes."""

from typing import Any

from sqlalchemy import JSON, Engine, Float, ForeignKey, Index, Integer, String, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PATIENCE = 2000  # ms that a writer waits for another one
PAGES = 512  # KiB of the database that a connection of SQLite holds; the operating system holds it for all of them
LARGEST_SLOT = 2**31 - 1  # of PostgreSQL's integer


class Base(DeclarativeBase):
    """Of all tables."""


class Device(Base):
    """A device of the network. Tokens are stored as hashes alone."""

    __tablename__ = "device"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, unique=True)  # m: the order in which devices decide
    location: Mapped[int] = mapped_column(Integer)  # of the network
    token_hash: Mapped[str | None] = mapped_column(String(64))  # None: revoked


class Reading(Base):
    """What a device measured in a slot; one a device and slot, never altered."""

    __tablename__ = "reading"
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[float] = mapped_column(Float)  # µg/m³
    received: Mapped[float] = mapped_column(Float)  # seconds since 1970
    __table_args__ = (Index("reading_by_slot", "slot", "device"),)


class Latest(Base):
    """The newest reading of each device: what maps and schedules are made of, without a search."""

    __tablename__ = "latest"
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    slot: Mapped[int] = mapped_column(Integer)
    value: Mapped[float] = mapped_column(Float)  # µg/m³
    received: Mapped[float] = mapped_column(Float)


class Plan(Base):
    """All that the control loop knows once a slot is planned; the next slot follows from it and the readings."""

    __tablename__ = "plan"
    slot: Mapped[int] = mapped_column(Integer, primary_key=True)  # since the service began
    cycle_slot: Mapped[int] = mapped_column(Integer)  # 0..T within the present budget; T + 1: missed, before a new one
    level: Mapped[float] = mapped_column(Float)  # estimated, of a hidden level the belief's mean [µg/m³]
    # Standard deviation of the level [µg/m³]; None: nothing was known and `level` stands in for it, since nobody had
    # reported yet or the slot went by while the service was down
    level_deviation: Mapped[float | None] = mapped_column(Float)
    promised_error: Mapped[float] = mapped_column(Float)  # average joint error after the decisions [µg/m³]
    state: Mapped[dict[str, Any]] = mapped_column(JSON)  # energy, delay, record of each device, and who is stale
    decisions: Mapped[list[Any]] = mapped_column(JSON)  # one object a device, see `deciding.Decision`


class Alert(Base):
    """Something that a person should know."""

    __tablename__ = "alert"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    slot: Mapped[int] = mapped_column(Integer, index=True)
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(64))  # a device's id, or "area"
    message: Mapped[str] = mapped_column(String(300))
    __table_args__ = (Index("alert_once", "slot", "kind", "subject", unique=True),)

    def as_json(self) -> dict[str, Any]:
        """What the page and webhooks are told of it."""
        return {name: getattr(self, name) for name in ("slot", "kind", "subject", "message")}


class Fact(Base):
    """A number or text about the service itself, such as when slot 0 began."""

    __tablename__ = "fact"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(300))


def make_engine(url: str) -> Engine:
    """An engine whose SQLite files can be read while they are written to.

    Raises:
        ValueError: no database URL, or one whose driver is not installed.
    """
    try:
        kind = make_url(url).get_backend_name()
        engine = create_engine(url, pool_pre_ping=kind != "sqlite")
    except (ArgumentError, ModuleNotFoundError) as error:
        raise ValueError(f"database: expected a URL such as sqlite:///readings.sqlite3, got {url!r}; {error}") from None
    if kind not in ("sqlite", "postgresql"):
        raise ValueError(f"database: expected sqlite or postgresql, got {kind!r}")
    if kind == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    settings = (
        f"busy_timeout={PATIENCE}",
        f"cache_size=-{PAGES}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    )
    for setting in settings:
        connection.execute(f"PRAGMA {setting}")
