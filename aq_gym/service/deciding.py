"""Who senses in a slot: the environment's own episode, put into the state that the service is in."""

from dataclasses import dataclass

import numpy as np

from aq_gym.envs.infos import raw_state
from aq_gym.episodes import Episodes
from aq_gym.policy import Policy, observation_of
from aq_gym.problem import Problem
from aq_gym.service.planning_state import PlanningState


@dataclass(frozen=True)
class Decision:
    """What one device does in a slot, and why."""

    device: str
    sense: bool
    forced: bool  # the environment overruled the policy's wish; True for all where a cycle begins
    energy: int  # sensings left after it
    decrease: float  # of the average joint error if it senses [µg/m³]
    scarcity: float  # power deficiency: above 1 it has less energy than an even use would leave


class Decider:
    """Asks a policy, which reads the observation that it names."""

    def __init__(self, problem: Problem, policy: Policy) -> None:
        self.problem, self.policy = problem, policy
        read = observation_of(policy)
        kinds = ("full",) if read == "full" else (read, "full")  # the full one says what a sensing would decrease
        self._episodes = [Episodes(problem, 1, observation=kind) for kind in kinds]
        segment = next(x for x in self._episodes[-1].layout.segments if x.name == "decrease_if_on")
        self._decrease_if_on, self._error_bound = slice(segment.start, segment.start + segment.size), segment.scale

    def decide(
        self, state: PlanningState, cycle_slot: int, level: float, names: list[str]
    ) -> tuple[list[Decision], float]:
        """The decisions of a slot as the environment takes them, and the promised error; changes the energy.

        A stale device has no energy in the episode, so that nobody counts on it.
        """
        energy, delay = np.where(state.stale, 0, state.energy), np.minimum(state.delay, self.problem.longest_delay)
        for episode in self._episodes:
            episode.path[...] = level  # what a report is assumed to find
            episode.observe_states([cycle_slot], [0], energy[None], delay[None], state.record[None], [level])
        deciding, full = self._episodes[0], self._episodes[-1]
        decisions = []
        for m, name in enumerate(names):
            decrease = full.observe()[0, self._decrease_if_on].mean() * self._error_bound
            info = raw_state(deciding, deciding.action_mask())
            wish = np.asarray(self.policy.act(deciding.observe(), info), dtype=np.int64).reshape(1)
            forced = np.zeros(1, np.bool_)
            for episode in self._episodes:
                episode.decide(wish, np.empty(1), episode.empty_observations(), forced=forced)
            sense = bool(wish[0]) != bool(forced[0])  # forced: the environment did the opposite of the wish
            scarcity = self._scarcity(cycle_slot, int(energy[m]))
            state.energy[m] -= sense
            decisions.append(Decision(name, sense, bool(forced[0]), int(state.energy[m]), float(decrease), scarcity))
        return decisions, float(deciding.slot_error[0])

    def rehearse(self) -> None:
        """Decide in a made-up state, so that all that a slot runs is compiled before the first one.

        Raises:
            ValueError: the policy cannot play this problem.
        """
        level, state = float(self.problem.network.levels.mean()), PlanningState.first(self.problem)
        state.delay[:], state.record[:] = 1, level
        self.decide(state, 1, level, ["" for _ in self.problem.devices])

    def _scarcity(self, cycle_slot: int, energy: int) -> float:
        """Power deficiency (37): slots left per sensing left, over T / B; at most B, and B without energy."""
        horizon, budget = self.problem.horizon, self.problem.energy_budget
        left = horizon - cycle_slot + 1
        return min(left / energy / (horizon / budget), float(budget)) if energy else float(budget)
