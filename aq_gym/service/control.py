"""The control loop: slot by slot, who senses next. One writer; a restart in the middle of a slot changes nothing.

How a plan comes about, once a slot, in `Controller._plan`:

1. The plan of the slot before is read from the database, and each device's newest reading from before this slot.
2. `level.present_level`: what the server knows of the level. A hidden one: the belief that the freshest report leads
   to. Else an estimate from all last readings.
3. `_after`: how old each device's last report is, and the level that it had (its record). A scheduled report that did
   not come is lost: the energy is spent, age and record stay. After too many of them in a row the device is stale, an
   alert says so, and plans do without it until it reports again. Where the service planned nothing in the slot before
   or in the one after, it was down, and the device may have had no chance to send. Then its missing report is excused:
   twice in a row, once before and once after a stop. The third counts, so that a service that is too slow for every
   slot still finds dead devices.
4. Every T + 1 slots a new cycle begins: all energy is there again, and every device is to report. One also begins where
   the plan before was made for another horizon, energy or longest sleep. Nobody can be asked in a slot that is over,
   so a cycle begins with the present slot.
5. `deciding.Decider`: else the environment's own episode is put into this state. Each device in turn is observed as in
   `gymnasium.make`, and the policy acts. A report just asked for is assumed to come and to confirm the believed level,
   so the devices that decide later in the slot count on it. In the environment they would know what it found.
6. Plan and alerts are stored in one transaction. If another process was first, its plan counts.

A plan depends on earlier plans and the readings alone, so whoever computes it finds the same.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict

import numpy as np

from aq_gym.policy import Policy
from aq_gym.problem import Problem
from aq_gym.service.alerts import alerts_of
from aq_gym.service.database import Alert, Device, Latest, Plan, Reading
from aq_gym.service.deciding import Decider, Decision
from aq_gym.service.level import level_read, present_level
from aq_gym.service.planning_state import FIRST_LEVEL, PlanningState, promised_errors
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

CHANCE = 0.001  # that lost reports alone make a device stale
LEAST_LOSS = 0.05  # probability of a loss that is always reckoned with where reports can get lost


def most_lost(problem: Problem) -> int:
    """How many scheduled reports in a row must be missing before a device is stale.

    With a hidden level so many that losing them all has at most the probability `CHANCE`; else 1.
    """
    if problem.inference != "hidden":
        return 1
    return math.ceil(math.log(CHANCE) / math.log(max(problem.loss, LEAST_LOSS)))


class Controller:
    """Plans slots with a policy, which reads the observation that it names."""

    def __init__(self, settings: Settings, store: Store, policy: Policy) -> None:
        self.settings, self.store, self.policy = settings, store, policy
        self.problem = settings.problem
        self._decider = Decider(self.problem, policy)
        self._most_lost = most_lost(self.problem)
        self._sizes = [self.problem.horizon, *self.problem.energies, self.problem.max_sleep]

    def plan_until(self, slot: int) -> list[Plan]:
        """Plan every slot up to ``slot`` that is not planned yet.

        Slots that went by while nobody planned are stored without decisions: nobody could have been woken in them.
        """
        last = self.store.last_plan()
        plans = []
        for k in range(0 if last is None else last.slot + 1, slot + 1):
            plan, alerts = self._plan(last, k, gone_by=k < slot)
            if not self.store.add_plan(plan, alerts):
                found = self.store.plan(k)
                assert found is not None
                plan = found
            plans.append(plan)
            last = plan
        return plans

    def _plan(self, last: Plan | None, slot: int, gone_by: bool) -> tuple[Plan, list[Alert]]:
        """See the module; ``gone_by``: the slot is over."""
        devices, newest = self.store.devices(), self.store.newest_before(slot)
        names = [device.id for device in devices]
        known = present_level(self.problem, devices, newest, slot)
        level = known.level if known else last.level if last else FIRST_LEVEL
        before = None if last is None else self.store.plan(last.slot - 1)
        was_up = not gone_by and (before is None or bool(before.decisions))  # all through the slot of the last plan
        state, alerts = self._after(last, level, names, newest, was_up)
        if last is not None and not self._ends(last):
            cycle_slot = last.cycle_slot + 1
        else:
            # T + 1: a new cycle was due, but this slot is over, so the cycle waits for the present one
            cycle_slot = self.problem.horizon + 1 if gone_by else 0
        decisions: list[Decision] = []
        if cycle_slot == 0:
            everybody = np.ones(len(names), np.bool_)
            state.energy = np.array(self.problem.energies)
            state.missed, state.lost = np.full(len(names), -1), np.zeros(len(names), np.int64)
            decisions = [Decision(x, True, True, int(p), 0.0, 1.0) for x, p in zip(names, state.energy, strict=True)]
            promised = float(promised_errors(self.problem, state, everybody, level).mean())
        elif gone_by:
            promised = last.promised_error if last else 0.0
        else:
            decisions, promised = self._decider.decide(state, cycle_slot, level, names)
        plan = Plan(
            slot=slot,
            cycle_slot=cycle_slot,
            level=level,
            level_deviation=known.deviation if known and not gone_by else None,
            promised_error=promised,
            state={**state.to_json(), "sizes": self._sizes},
            decisions=[asdict(x) for x in decisions],
        )
        return plan, alerts if last is None else [*alerts, *alerts_of(self.settings, self.store, last, plan)]

    def _ends(self, last: Plan) -> bool:
        return last.cycle_slot >= self.problem.horizon or last.state.get("sizes", self._sizes) != self._sizes

    def _after(
        self, last: Plan | None, level: float, names: list[str], newest: Mapping[str, Latest | Reading], was_up: bool
    ) -> tuple[PlanningState, list[Alert]]:
        """The state when the next slot begins; ``was_up``: whether missing reports count as lost at once."""
        if last is None:
            return PlanningState.first(self.problem), []
        state, alerts = PlanningState.from_json(last.state), []
        scheduled = {x["device"] for x in last.decisions if x["sense"]}
        for m, name in enumerate(names):
            reading = newest.get(name)
            reported = -1 if reading is None else reading.slot
            if reading is not None and reported > last.slot - state.delay[m]:  # it is new
                state.record[m] = self._record(m, reading, last, level)
                state.delay[m], state.lost[m], state.excused[m] = last.slot - reported, 0, 0
                state.missed[m] = -1 if reported >= state.missed[m] else state.missed[m]
            absent = name in scheduled and reported < last.slot
            if absent and not was_up and state.excused[m] < 2:
                state.excused[m] += 1
            elif absent:
                state.lost[m] += 1
                if state.lost[m] >= self._most_lost:
                    state.missed[m] = last.slot
                    alerts.append(_missed(name, last.slot, int(state.lost[m])))
            state.delay[m] += 1
        return state, alerts

    def _record(self, m: int, reading: Latest | Reading, last: Plan, level: float) -> float:
        """The level when a report was made: with a hidden one what it says, else what the server knew [µg/m³].

        Where the level is known: of a report in the first slot of a cycle, or in one without a plan, it is the level
        of now. The plan of a cycle's first slot was made before its reports came.
        """
        if self.problem.inference == "hidden":
            return float(level_read(self.problem.network, self.problem.devices[m], reading.value))
        plan = last if reading.slot == last.slot else self.store.plan(reading.slot)
        return level if plan is None or plan.cycle_slot == 0 else plan.level


def _missed(name: str, slot: int, lost: int) -> Alert:
    what = "did not" if lost == 1 else f"did not, the last {lost} times"
    message = f"{name} was to report in slot {slot} and {what}; plans do without it until it does"
    return Alert(slot=slot, kind="missed", subject=name, message=message)


def register_devices(store: Store, settings: Settings) -> list[Device]:
    """The problem's devices, added where they are missing; in the order in which they decide.

    Raises:
        ValueError: the database holds other devices.
    """
    known, wanted = {device.position: device.location for device in store.devices()}, settings.problem.devices
    more = len(known) < len(wanted) and store.last_plan() is not None  # plans hold a number for each device
    if more or any(m >= len(wanted) or wanted[m] != location for m, location in known.items()):
        raise ValueError(
            f"database: it holds devices at the locations {_few(known.values())}, but {_few(wanted)} are to be served; "
            "give another --folder or --database, or the same --devices"
        )
    for m, location in enumerate(wanted):
        if m not in known:
            name = settings.places.device_name(m, int(location))
            store.put_device(Device(id=name, position=m, location=int(location), token_hash=None))
    return store.devices()


def _few(locations: Collection[int]) -> str:
    return ", ".join(map(str, list(locations)[:8])) + (" ..." if len(locations) > 8 else "")
