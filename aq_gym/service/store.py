"""All queries of the database, in one place."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Engine, func, select, tuple_
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import sessionmaker

from aq_gym.service.database import LARGEST_SLOT, Alert, Device, Fact, Latest, Plan, Reading
from aq_gym.service.intake import Intake, Received, Report
from aq_gym.service.migrations import upgrade

MOST_NAMES = 20  # of devices, in a message


class Newest(NamedTuple):
    """A version stamp that changes whenever the stored data do."""

    slot: int  # of the last plan; -1: none yet
    received: float  # when a reading last came that is its device's newest [s since 1970]; 0: never


class Level(NamedTuple):
    """The area's level as a plan knew it."""

    slot: int
    level: float  # µg/m³
    promised_error: float  # µg/m³
    deviation: float  # standard deviation of the level [µg/m³]


class Present(NamedTuple):
    """What an answer about the present slot is made from."""

    plan: Plan  # the newest
    devices: list[Device]  # in the order in which they decide
    latest: dict[str, Latest]  # of the devices that ever reported


class Store:
    """The service's memory."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._intake = Intake(engine)
        self._device_names: set[str] = set()
        self.session = sessionmaker(engine, expire_on_commit=False)

    def create_tables(self) -> None:
        """Make what is missing, and bring older tables to the present version.

        Raises:
            ConnectionError: the database does not answer, is locked, cannot be written, or is none.
        """
        try:
            upgrade(self.engine)
        except DatabaseError as error:
            where, reason = self.engine.url.render_as_string(), str(error.orig).strip()
            ask = "is it running, and may this user create tables there?"
            if self.engine.dialect.name == "sqlite":
                ask = "does its folder exist, and is it a database that may be written?"
            raise ConnectionError(f"database {where}: {reason}; {ask}") from None

    def add_readings(self, reports: Sequence[Report]) -> Received:
        """Store readings, all or none; a device and slot that are known already stay as they are."""
        return self._intake.add(reports)

    def present(self) -> Present | None:
        """What is newest; None before the first plan."""
        plan = self.last_plan()
        return None if plan is None else Present(plan, self.devices(), self.latest())

    def latest(self) -> dict[str, Latest]:
        """The newest reading of each device that ever reported."""
        with self.session() as session:
            return {x.device: x for x in session.scalars(select(Latest))}

    def newest_before(self, slot: int) -> dict[str, Latest | Reading]:
        """The newest reading of each device that reported before a slot."""
        found: dict[str, Latest | Reading] = {}
        with self.session() as session:
            for latest in session.scalars(select(Latest)):
                query = select(Reading).where(Reading.device == latest.device, Reading.slot < slot)
                newest = latest if latest.slot < slot else session.scalar(query.order_by(Reading.slot.desc()).limit(1))
                if newest is not None:
                    found[latest.device] = newest
        return found

    def readings(
        self,
        since: int = 0,
        until: int = LARGEST_SLOT,
        *,
        device: str | None = None,
        after: tuple[int, str] = (-1, ""),
        skip: int = 0,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Report]:
        """Readings in the order (slot, device) or newest first: keys above ``after``, without the first ``skip``."""
        query = select(Reading.device, Reading.slot, Reading.value)
        query = query.where(Reading.slot.between(max(since, after[0]), until))  # lets the database begin at the cursor
        query = query.where(tuple_(Reading.slot, Reading.device) > after)
        if device is not None:
            query = query.where(Reading.device == device)
        order = (Reading.slot.desc(), Reading.device.desc()) if newest_first else (Reading.slot, Reading.device)
        with self.session() as session:
            rows = session.execute(query.order_by(*order).offset(skip).limit(limit))
            return [Report(name, slot, value) for name, slot, value in rows]

    def newest(self) -> Newest:
        """Cheap enough to be asked several times a second."""
        with self.session() as session:
            slot = session.scalar(select(func.max(Plan.slot)))
            received = session.scalar(select(func.max(Latest.received)))
        return Newest(-1 if slot is None else slot, received or 0.0)

    def slots_read(self, since: int) -> set[int]:
        """Slots from one on in which a device reported."""
        with self.session() as session:
            return set(session.scalars(select(Reading.slot).where(Reading.slot >= since).distinct()))

    def levels(self, since: int, until: int = LARGEST_SLOT, limit: int | None = None) -> list[Level]:
        """Of the newest plans of some slots, in order; without slots of which nobody knew a level.

        These are the ones before the first report, and those that went by while the service was down.
        """
        query = select(Plan.slot, Plan.level, Plan.promised_error, Plan.level_deviation)
        query = query.where(Plan.slot.between(since, until), Plan.level_deviation.is_not(None))
        with self.session() as session:
            rows = session.execute(query.order_by(Plan.slot.desc()).limit(limit)).all()
        return [Level._make(row) for row in reversed(rows)]

    def devices(self) -> list[Device]:
        """All devices in the order in which they decide."""
        with self.session() as session:
            return list(session.scalars(select(Device).order_by(Device.position)))

    def newest_readings(self) -> list[dict[str, Any]]:
        """Each device, in the order in which they decide, with its newest reading: None where it never reported."""
        columns = {
            "id": Device.id,
            "position": Device.position,
            "location": Device.location,
            "can_report": Device.token_hash.is_not(None),
            "last_report": Latest.slot,
            "last_value": Latest.value,
        }
        query = select(*columns.values()).outerjoin(Latest, Latest.device == Device.id).order_by(Device.position)
        with self.session() as session:
            return [dict(zip(columns, row, strict=True)) for row in session.execute(query)]

    def known_devices(self, names: set[str]) -> set[str]:
        """Those of some names that are devices; asks the database for new names alone, since no device is removed."""
        if unknown := names - self._device_names:
            with self.session() as session:
                self._device_names |= set(session.scalars(select(Device.id).where(Device.id.in_(unknown))))
        return names & self._device_names

    def no_device(self, name: str) -> str:
        """What to say about a name that no device has."""
        names = [device.id for device in self.devices()]
        more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
        return f"no device {name!r}; there are {', '.join(names[:MOST_NAMES])}{more}"

    def put_device(self, device: Device) -> None:
        """Add a device or change it."""
        with self.session.begin() as session:
            session.merge(device)

    def device_with(self, token_hash: str) -> Device | None:
        """The device that a token belongs to."""
        with self.session() as session:
            return session.scalar(select(Device).where(Device.token_hash == token_hash))

    def plan(self, slot: int) -> Plan | None:
        """The plan of a slot."""
        with self.session() as session:
            return session.get(Plan, slot)

    def last_plan(self) -> Plan | None:
        """The newest plan."""
        with self.session() as session:
            return session.scalar(select(Plan).order_by(Plan.slot.desc()).limit(1))

    def last_cycle(self, horizon: int) -> list[tuple[int, float, float]]:
        """(slot, level, promised error) of the T + 1 plans of the last budget that was used to its end; [] if none."""
        query = select(Plan.slot).where(Plan.cycle_slot == horizon).order_by(Plan.slot.desc()).limit(1)
        with self.session() as session:
            last = session.scalar(query)
            if last is None:
                return []
            columns = select(Plan.slot, Plan.level, Plan.promised_error).order_by(Plan.slot)
            rows = session.execute(columns.where(Plan.slot.between(last - horizon, last))).all()
        return [(slot, level, error) for slot, level, error in rows] if len(rows) == horizon + 1 else []

    def add_plan(self, plan: Plan, alerts: Sequence[Alert]) -> bool:
        """Store a plan and the alerts that it raises, all or nothing; False: the slot was planned before."""
        slot = plan.slot
        try:
            with self.session.begin() as session:
                session.add_all([plan, *alerts])
        except IntegrityError:
            if self.plan(slot) is None:  # something else is wrong
                raise
            return False
        return True

    def alerts(self, since: int, limit: int = 200, kind: str | None = None) -> list[Alert]:
        """The newest alerts from a slot on, of one kind or of all, newest first."""
        with self.session() as session:
            query = select(Alert).where(Alert.slot >= since).order_by(Alert.slot.desc(), Alert.id.desc())
            query = query if kind is None else query.where(Alert.kind == kind)
            return list(session.scalars(query.limit(limit)))

    def alerts_after(self, last: int) -> list[Alert]:
        """A hundred alerts whose id is larger, oldest first."""
        with self.session() as session:
            return list(session.scalars(select(Alert).where(Alert.id > last).order_by(Alert.id).limit(100)))

    def put_fact(self, name: str, value: str) -> None:
        """Add a fact or change it."""
        with self.session.begin() as session:
            session.merge(Fact(name=name, value=value))

    def fact(self, name: str, otherwise: str) -> str:
        """The value that is stored; where there is none, ``otherwise`` is stored."""
        query = select(Fact.value).where(Fact.name == name)
        with self.session() as session:
            if (value := session.scalars(query).one_or_none()) is not None:  # nothing to write, so no lock is taken
                return value
        with suppress(IntegrityError), self.session.begin() as session:  # another process was first
            session.add(Fact(name=name, value=otherwise))
        with self.session() as session:
            return session.scalars(query).one()
