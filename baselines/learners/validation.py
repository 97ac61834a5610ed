"""Watching a training: validation on the same seeds, the same tags and yardstick lines for every learner.

Our DQN is validated exactly on small problems; SB3's agents always on episodes.
"""

import math
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents import GreedyPolicy, TensorBoardLogger
from aq_gym import reference_scores
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.problem import Problem
from baselines.exact.evaluation import evaluate_exactly
from baselines.exact.one_device import optimal_policy
from baselines.exact.states import has_plain_energies
from baselines.heuristics.index import Simulator
from baselines.heuristics.index_tuning import thresholds
from baselines.heuristics.simple import Random, Staggered, Synchronised
from baselines.packing import layers_of
from baselines.playing import FIRST_TUNING_SEED, play_problem

_NEGLIGIBLE = 1e-9  # probability of a state, in exact evaluations: 1e-7 would move the result by a tenth of a per cent
_MET_EPISODES = 256  # of optimal play, for `disagreement`
_MOST_STATES = 100_000_000  # that an exact evaluation may pass through
_EVALUATED, _SOLVED = 12e6, 5e6  # states a second of an exact evaluation and of a solution, cautious figures
_SHARE = 0.02  # of a time limit that one validation may take, and five times that for a solution
_UNHURRIED = 300.0  # seconds: shorter trainings do without what only describes them
_DECISIONS = 150_000  # of a validation: about a second
_MOST_DECISIONS = 1_000_000  # where episodes are long


def validation_episodes(problem: Problem) -> int:
    """How many episodes a policy is validated on: 512, more of short ones and fewer of very long ones."""
    length = problem.horizon * problem.n_devices
    return max(2, min(512, _MOST_DECISIONS // length), _DECISIONS // length)


class Validation:
    """Episodes on seeds that neither training nor evaluation uses.

    ``solvable``: the optimum may be computed, for the regret. ``exact``: policies are evaluated exactly instead, since
    a few tenths of a per cent drown in the spread of returns.
    """

    def __init__(self, problem: Problem, episodes: int, *, solvable: bool, exact: bool = False) -> None:
        self.problem, self.episodes, self.solvable, self.exact = problem, episodes, solvable, exact
        self._describes = solvable
        self._simulators: dict[str, Simulator] = {}
        self._states: dict[str, tuple[NDArray[np.float32], NDArray[np.float64]]] = {}

    def __str__(self) -> str:
        return "in exact expectation" if self.exact else f"on {self.episodes} validation episodes"

    def limit(self, seconds: float) -> None:
        """Make a validation cheap enough for a training of so many seconds: see `_SHARE`."""
        if math.isinf(seconds):
            return
        states = _states(self.problem)
        self.exact = self.exact and states / _EVALUATED <= _SHARE * seconds
        self.solvable = self.solvable and states / _SOLVED <= 5 * _SHARE * seconds
        self._describes = self.solvable and seconds >= _UNHURRIED
        began, few = time.perf_counter(), min(4, self.episodes)
        self._simulator("compact").errors(thresholds(self.problem)[:1], few, FIRST_TUNING_SEED)
        each = (time.perf_counter() - began) / few
        self.episodes = max(few, min(self.episodes, int(_SHARE * seconds / each)))

    def error(self, policy: Any) -> float:
        """A policy's average joint error, on the episodes or exact [µg/m³]; random and joint ones are always played."""
        problem = self.problem
        if self.exact and not isinstance(policy, Random) and getattr(policy, "view", "sequential") == "sequential":
            return evaluate_exactly(policy, **problem.arguments, negligible=_NEGLIGIBLE)
        if isinstance(policy, GreedyPolicy) and (layers := layers_of(policy)) is not None:
            simulator = self._simulator(policy.observation)
            return float(simulator.errors([layers], self.episodes, FIRST_TUNING_SEED).mean())
        return float(play_problem(policy, problem, self.episodes, FIRST_TUNING_SEED).joint_error.mean())

    def _simulator(self, observation: str) -> Simulator:
        if observation not in self._simulators:
            self._simulators[observation] = Simulator(self.problem, observation)
        return self._simulators[observation]

    @cached_property
    def optimum(self) -> float | None:
        """What the optimal policy scores on these very episodes, where solvable: a paired regret has far less noise."""
        return self.error(self._optimal) if self.solvable else None

    @cached_property
    def _optimal(self) -> Any:
        return optimal_policy(self.problem)

    def scalars(self, error: float) -> dict[str, float]:
        """What to log of a policy of that error, by TensorBoard tag."""
        found = {"eval/joint_error": error, "eval/mean_reward": -error * self.problem.horizon}
        if self.optimum is not None:
            found["eval/regret_percent"] = 100.0 * (error / self.optimum - 1.0)
        return found

    def disagreement(self, policy: GreedyPolicy) -> dict[str, float]:
        """How a policy's action values differ from the exact ones in the states of optimal play.

        By TensorBoard tag: the root mean squared error of the gap between the actions [µg/m³, summed over slots], and
        the share of the states in which the other action is preferred. Nothing where the optimum is unknown.
        """
        if not self._describes:
            return {}
        observations, gaps = self._optimal_states(policy.observation)
        values = policy.action_values(observations, {})
        found = values[:, 1] - values[:, 0]
        return {
            "eval/action_value_error": float(np.sqrt(np.mean((found - gaps) ** 2))),
            "eval/policy_disagreement": float(np.mean((found > 0) != (gaps > 0))),
        }

    def _optimal_states(self, observation: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """(n, size) observations of the free decisions of optimal play, and (n,) what sensing gains there."""
        if observation not in self._states:
            problem, oracle = self.problem, self._optimal
            env = MultiDeviceVectorEnv(
                _MET_EPISODES, **problem.arguments, observation=observation, autoreset_mode="Disabled"
            )
            seen, gaps, over = [], [], False
            observed, info = env.reset(seed=FIRST_TUNING_SEED)
            while not over:
                free = info["action_mask"].astype(np.bool_).all(axis=1)
                names = ["slot", "energy", "delay", "record", *(["level"] if problem.inference != "hidden" else [])]
                state = [info[name][free] for name in names]
                if problem.n_devices > 1:
                    state.append(info["turn"][free])
                else:
                    state[1:4] = [x[:, 0] for x in state[1:4]]
                if free.any():
                    values = oracle.action_values(*state)
                    seen.append(observed[free])
                    gaps.append(values[:, 1] - values[:, 0])
                observed, _, terminated, _, info = env.step(oracle.act(observed, info))
                over = bool(terminated.all())
            env.close()
            self._states[observation] = np.concatenate(seen), np.concatenate(gaps)
        return self._states[observation]

    def draw_line(self, folder: Path, policy: Any, last: int) -> None:
        """A policy's score as a constant line from decision 0 to ``last``, a run of its own in ``folder``."""
        scalars = self.scalars(self.error(policy))
        with TensorBoardLogger(folder) as line:
            for at in (0, last):
                for tag, value in scalars.items():
                    line.scalar(tag, value, at)

    def draw_yardsticks(self, folder: Path, last: int, seconds: float = math.inf) -> None:
        """The lines of uniform and random sensing, and of the optimum where solvable, beside a training's run.

        The first line is always drawn, another one only if ``seconds`` have not passed.
        """
        began = time.perf_counter()
        for name, make in (("staggered", Staggered), ("random", Random), ("synchronised", Synchronised)):
            if name == "staggered" or time.perf_counter() - began < seconds:
                self.draw_line(folder / name, make(self.problem), last)
        if self.solvable:
            self.draw_line(folder / "optimal", self._optimal, last)


def _states(problem: Problem) -> int:
    """How many states an exact evaluation passes through."""
    states = problem.network.n_levels * (problem.max_sleep + 1)  # records and delays of a device
    states = (states * (problem.most_energy + 1)) ** problem.n_devices * problem.network.n_levels
    return states * problem.horizon * problem.n_devices


def quick_to_evaluate(problem: Problem) -> bool:
    """Whether a policy is evaluated exactly, and in some seconds."""
    known = problem.inference == "hidden" or has_plain_energies(problem)
    return known and _states(problem) <= _MOST_STATES


def solvable(env_id: str, env_kwargs: Mapping[str, Any]) -> bool:
    """Whether the optimum of an id, made with these arguments, is known to be computable in seconds."""
    try:
        return not env_kwargs and reference_scores(env_id)["optimum"] is not None
    except ValueError:  # no scores of this id
        return False
