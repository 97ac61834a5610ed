"""The control loop: slot by slot, who senses next. One writer; a restart in the middle of a slot changes nothing.

The plan of a slot depends on the plan before and on the readings up to the slot before, and is stored in one
transaction. Decisions are made on the environments' own state and observation, so an agent that was trained in
`gymnasium.make` is served as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.episodes import Episodes
from aq_gym.policy import Policy
from aq_gym.service.alerts import alerts_of
from aq_gym.service.database import Alert, Device, Plan
from aq_gym.service.level import estimate_level
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

FIRST_LEVEL = 50.0  # µg/m³, of a slot that nobody has reported for yet; it decides nothing


@dataclass(frozen=True)
class Decision:
    """What one device does in a slot, and why."""

    device: str
    sense: bool
    forced: bool  # it had to sense or could not
    energy: int  # sensings left after it
    decrease: float  # of the average joint error if it senses [µg/m³]
    scarcity: float  # power deficiency: above 1 it has less energy than an even use would leave


@dataclass
class PlanningState:
    """The environments' state of one episode, as plain lists in the database."""

    energy: NDArray[np.int64]  # (M,) sensings left
    delay: NDArray[np.int64]  # (M,) slots since the last report, at most D
    record: NDArray[np.float64]  # (M,) level when it was made [µg/m³]
    missed: NDArray[np.int64]  # (M,) slot of a scheduled report that did not come; -1: none

    @property
    def stale(self) -> NDArray[np.bool_]:
        """(M,) devices that are not counted on until they report again."""
        return self.missed >= 0

    def to_json(self) -> dict[str, Any]:
        """As lists."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> PlanningState:
        """From lists."""
        record = np.array(state["record"], dtype=np.float64)
        energy, delay, missed = (np.array(state[x], dtype=np.int64) for x in ("energy", "delay", "missed"))
        return cls(energy, delay, record, missed)


class Controller:
    """Plans slots with a policy.

    Args:
        settings: of the service.
        store: where devices, readings and plans are.
        policy: who decides; it reads the observation that it names.
    """

    def __init__(self, settings: Settings, store: Store, policy: Policy) -> None:
        self.settings, self.store, self.policy = settings, store, policy
        self.problem = settings.problem
        read = getattr(policy, "observation", "full")
        kinds = ("full",) if read == "full" else (read, "full")  # what the policy reads, and what says why
        self._episodes = [Episodes(self.problem, 1, observation=kind) for kind in kinds]
        why = next(x for x in self._episodes[-1].layout.segments if x.name == "decrease_if_on")
        self._decrease_if_on, self._error_bound = slice(why.start, why.start + why.size), why.scale

    def plan_until(self, slot: int) -> list[Plan]:
        """Plan every slot up to ``slot`` that is not planned yet.

        Slots that went by while nobody planned are stored without decisions: nobody could have been woken in them.
        """
        last = self.store.last_plan()
        first = 0 if last is None else last.slot + 1
        plans = []
        for k in range(max(first, 0), slot + 1):
            plan, alerts = self._plan(last, k, missed=k < slot and last is not None)
            if not self.store.add_plan(plan, alerts):
                found = self.store.plan(k)
                assert found is not None
                plan = found
            plans.append(plan)
            last = plan
        return plans

    def _plan(self, last: Plan | None, slot: int, missed: bool) -> tuple[Plan, list[Alert]]:
        names = [device.id for device in self.store.devices()]
        if last is None or last.cycle_slot == self.problem.horizon:
            return self._begin_cycle(last, slot, names), []
        level = self._level(last, slot, names)
        state, alerts = self._after(last, level, names)
        if missed:
            decisions: list[Decision] = []
            promised = last.promised_error
        else:
            decisions, promised = self._decide(state, last.cycle_slot + 1, level, names)
        plan = self._row(slot, last.cycle_slot + 1, level, promised, state, decisions)
        return plan, [*alerts, *alerts_of(self.settings, self.store, last, plan)]

    @staticmethod
    def _row(
        slot: int, cycle_slot: int, level: float, promised: float, state: PlanningState, decisions: list[Decision]
    ) -> Plan:
        return Plan(
            slot=slot,
            cycle_slot=cycle_slot,
            level=level,
            promised_error=promised,
            state=state.to_json(),
            decisions=[asdict(x) for x in decisions],
        )

    def _begin_cycle(self, last: Plan | None, slot: int, names: list[str]) -> Plan:
        """Slot 0: every device senses outside its budget, and the budgets are full again."""
        m, budget = len(names), self.problem.energy_budget
        level = FIRST_LEVEL if last is None else self._level(last, slot, names)
        state = PlanningState(np.full(m, budget), np.zeros(m, np.int64), np.full(m, level), np.full(m, -1))
        decisions = [Decision(name, True, True, budget, 0.0, 1.0) for name in names]
        return self._row(slot, 0, level, self._error(state, level), state, decisions)

    def _after(self, last: Plan, level: float, names: list[str]) -> tuple[PlanningState, list[Alert]]:
        """The state when the next slot begins: reports that came count, a scheduled one that did not is missed.

        What was reported in slot 0 is the first that is known of the level, so its records are the level of now.
        """
        state = PlanningState.from_json(last.state)
        newest = {name: x.slot for name, x in self.store.latest().items()}
        scheduled = {x["device"] for x in last.decisions if x["sense"]}
        alerts = []
        for m, name in enumerate(names):
            reported = newest.get(name, -1)
            if reported >= last.slot or reported >= state.missed[m] >= 0:
                reported = min(reported, last.slot)
                plan = last if reported == last.slot else self.store.plan(reported)
                state.missed[m] = -1
                state.delay[m] = last.slot - reported
                state.record[m] = level if plan is None or plan.cycle_slot == 0 else plan.level
            elif name in scheduled:
                state.missed[m] = last.slot
                message = f"{name} was to report in slot {last.slot} and did not; plans do without it until it does"
                alerts.append(Alert(slot=last.slot, kind="missed", subject=name, message=message))
            state.delay[m] = min(state.delay[m] + 1, self.problem.max_sleep)
        return state, alerts

    def _level(self, last: Plan, slot: int, names: list[str]) -> float:
        """The level from the newest readings before the slot; the last plan's while nobody ever reported."""
        latest = self.store.latest()
        known = [latest.get(name) for name in names]
        values = [np.nan if x is None or x.slot >= slot else x.value for x in known]
        if np.isnan(values).all():
            return last.level
        age = [1 if x is None else max(1, slot - x.slot) for x in known]
        return estimate_level(self.problem.network, self.problem.devices, values, age).level

    def _decide(
        self, state: PlanningState, cycle_slot: int, level: float, names: list[str]
    ) -> tuple[list[Decision], float]:
        """The decisions of a slot as the environment takes them; changes the state. Also the promised error.

        The environment is placed at the beginning of the slot and led through it. A stale device has no energy there,
        so that nobody counts on it.
        """
        energy = np.where(state.stale, 0, state.energy)
        for episode in self._episodes:
            episode.path[...] = level
            episode.observe_states([cycle_slot], [0], energy[None], state.delay[None], state.record[None], [level])
        deciding, full = self._episodes[0], self._episodes[-1]
        decisions = []
        for m, name in enumerate(names):
            decrease = full.observe()[0, self._decrease_if_on].mean() * self._error_bound
            info = self._info(cycle_slot, m, level)
            wish = np.asarray(self.policy.act(deciding.observe(), info), dtype=np.int64).reshape(1)
            forced = np.zeros(1, np.bool_)
            for episode in self._episodes:
                episode.decide(wish, np.empty(1), episode.empty_observations(), forced=forced)
            sense = bool(wish[0]) != bool(forced[0])
            scarcity = self._scarcity(cycle_slot, int(energy[m]))
            state.energy[m] -= sense
            if sense:
                state.delay[m], state.record[m] = 0, level
            decisions.append(Decision(name, sense, bool(forced[0]), int(state.energy[m]), float(decrease), scarcity))
        return decisions, float(deciding.slot_error[0])

    def _scarcity(self, cycle_slot: int, energy: int) -> float:
        """Power deficiency (37): slots that a sensing has to last over those of an even use; B without energy."""
        horizon, budget = self.problem.horizon, self.problem.energy_budget
        left = horizon - cycle_slot + 1
        return min(left / energy / (horizon / budget), float(budget)) if energy else float(budget)

    def _info(self, cycle_slot: int, m: int, level: float) -> dict[str, Any]:
        """What the environments' infos say, a batch of one."""
        episode = self._episodes[0]
        return {
            "slot": np.array([cycle_slot]),
            "turn": np.array([m]),
            "energy": episode.energy.copy(),
            "delay": episode.delay.copy(),
            "record": episode.record.copy(),
            "level": np.array([level]),
            "action_mask": episode.action_mask(),
        }

    def _error(self, state: PlanningState, level: float) -> float:
        """The average joint error [µg/m³]."""
        return float(self.problem.infer(state.delay, state.record, level).joint_error.mean())


def register_devices(store: Store, settings: Settings) -> list[Device]:
    """The problem's devices, added where they are missing; in the order in which they decide."""
    known = {device.position for device in store.devices()}
    for m, location in enumerate(settings.problem.devices):
        if m not in known:
            store.put_device(Device(id=f"device_{m}", position=m, location=int(location), token_hash=None))
    return store.devices()
