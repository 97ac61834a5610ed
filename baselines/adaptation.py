"""Adapting a policy to the instance at hand by a minute of counterfactual pairs, and paired validation."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents import DQNConfig, fit_advantages
from agents.fitting import torch_threads
from agents.networks import make_network
from aq_gym.episodes import Layers
from aq_gym.network_checks import as_count
from aq_gym.problem import Problem
from baselines.heuristics.index import Index, Simulator, greedy_index
from baselines.heuristics.index_tuning import QUICK, TUNED, committed_starts, quick_episodes, tune
from baselines.heuristics.problems import tuned_fields
from baselines.heuristics.simple import Staggered
from baselines.learners.generalist import DECISIONS, greedy_threshold
from baselines.learners.pairs import PIECE, PairCollector
from baselines.learners.shipped import load_generalist
from baselines.packing import (
    LayeredPolicy,
    added,
    layers_of,
    matrices,
    observation_of_layers,
    outputs,
    pack,
    trunk_inputs,
)
from baselines.playing import FIRST_TUNING_SEED, check_policy, play_problem

SEED = FIRST_TUNING_SEED + 2**24  # of the validation episodes: no tuning and no training plays them
PAIRS = 4_096  # played in each step
_SHARES = (1.0, 0.5, 0.25)  # of what was learned that are tried
_TUNING, _CHECKING = 0.3, 0.02  # of the time: for the index policy where none is committed, for each validation
UNTIMED_TUNING = 4_000_000  # decisions, where no clock decides
_FIT = 0.7  # seconds of a core that a fit is expected to take before one was made
_SLACK = 1.5  # times as long as expected may a validation or a fit take
_MANY = 8  # devices from which on, in pairs, the others repeat what they did: a third of the noise and of the time
_SETTINGS = DQNConfig(hidden=(32,), input_scaling="standard")


def adapt(
    policy: Any,
    problem: Problem,
    seconds: float = 60.0,
    *,
    steps: int | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda line: None,
) -> Any:
    """A policy that plays a problem at least as well as the given one, and as the yardsticks, on validation episodes.

    First the given policy, staggered and greedy sensing, the index policy (tuned now where none is committed) and the
    generalist play the same episodes. The best of them that can be compiled is improved in steps: counterfactual pairs
    under it say what each decision gained, a small network learns what its scores miss, and as much of that is added
    as improves other episodes. Whatever is best on the validation episodes is returned.

    Args:
        policy: anything with `act`; a heuristic, the generalist, a DQN. One that can't be compiled may play slowly.
        problem: the instance at hand.
        seconds: limit of all this, compiling excepted. Comparing the yardsticks comes first and takes what it takes:
            some seconds with a hundred devices.
        steps: of improvement; given, no clock decides, so that the same seed gives the same policy.
        seed: of the pairs and the fits.
        report: receives a line on each stage.

    Returns:
        The given policy, a yardstick, or a `LayeredPolicy`. Ctrl-C returns the best so far.

    Raises:
        TypeError: the policy has no method `act`.
        ValueError: a time that is not positive, or a wrong number of steps or seed.
    """
    check_policy(policy)
    if not seconds > 0.0:
        raise ValueError(f"seconds: expected a positive number, got {seconds!r}")
    steps = None if steps is None else as_count("steps", steps, 0)
    _compile(problem)
    adaptation = _Adaptation(problem, math.inf if steps is not None else seconds, as_count("seed", seed, 0), report)
    try:
        adaptation.compare(policy)
        adaptation.improve(steps)
    except KeyboardInterrupt:
        report("interrupted")
        if not adaptation.known:
            raise
    return adaptation.best


def _compile(problem: Problem) -> None:
    """Compile what is needed on episodes of a few slots, so that no clock runs meanwhile."""
    options = {name: x for name, x in problem.options.items() if name != "energy_budgets"}
    tiny = Problem.create(problem.network, problem.devices[:2], 4, 2, 4, **options)
    guide = Index(tiny, 0.0, {})
    for kind in ("compact", "per_device"):
        collector = PairCollector(tiny, guide, observation=kind, n_episodes=2, points=2, threads=1)
        Simulator(tiny, kind).errors([collector.layers(None)], 2, SEED)
        collector.collect(collector.layers(None), 2, np.random.default_rng(0))
    play_problem(Staggered(tiny), tiny, 2, SEED)
    network, few = make_network(_SETTINGS, 2, 2, torch.Generator()), np.eye(2, dtype=np.float32)
    fit_advantages(network, few, few[0], scales=few[0] + 1.0, updates=1, seed=0)  # torch loads parts


class _Adaptation:
    """The state of one adaptation: what was validated so far, and what is being improved."""

    def __init__(self, problem: Problem, seconds: float, seed: int, report: Callable[[str], None]) -> None:
        self.problem, self.seconds, self.report = problem, seconds, report
        self.began, self.rng, self.seed = time.perf_counter(), np.random.default_rng(seed), seed
        self.worked = time.process_time()
        self.known: list[tuple[float, str, Any, Layers | None]] = []  # mean error, name, policy, its layers
        self.simulators = {kind: Simulator(problem, kind) for kind in ("compact", "per_device")}
        self.length = problem.horizon * problem.n_devices
        self.episodes, self.speed = 256, math.inf  # of a validation; decisions a second

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.perf_counter() - self.began)

    @property
    def best(self) -> Any:
        """The policy of least error so far; the first of equal ones."""
        error, name, policy, _ = min(self.known, key=lambda entry: entry[0])
        policy.training_seconds = time.perf_counter() - self.began
        self.report(f"best: {name}, {error:.4f} µg/m³ on {self.episodes} validation episodes")
        return policy

    def errors(self, layers: list[Layers], first: int) -> NDArray[np.float64]:
        """(layers, episodes) errors of layers that read the same observation [µg/m³]."""
        return self.simulators[observation_of_layers(layers[0])].errors(layers, self.episodes, first)

    def add(self, name: str, policy: Any) -> None:
        """Validate a policy."""
        layers = layers_of(policy)
        if layers is not None:
            errors = self.errors([layers], SEED)[0]
        else:
            errors = play_problem(policy, self.problem, self.episodes, SEED).joint_error
        self.known.append((float(errors.mean()), name, policy, layers))
        self.report(f"{name}: {errors.mean():.4f} µg/m³, {time.perf_counter() - self.began:.1f} s")

    def compare(self, policy: Any) -> None:
        """Validate the given policy and the yardsticks; how many episodes depends on how fast they are played."""
        problem, decisions = self.problem, DECISIONS
        if not math.isinf(self.seconds):
            self.speed = self._speed(2)
            self.speed = self._speed(min(256, max(4, int(0.2 * self.speed / self.length))))
            decisions = int(min(DECISIONS, 2 * _CHECKING * self.seconds * self.speed))
            self.episodes = int(np.clip(_CHECKING * self.seconds * self.speed / self.length, 8, 2048))
            if layers_of(policy) is None:
                began = time.perf_counter()
                play_problem(policy, problem, 4, SEED)
                each = (time.perf_counter() - began) / 4
                self.episodes = int(np.clip(4 * _CHECKING * self.seconds / each, 8, self.episodes))
        self.add("given", policy)
        self.add("staggered", Staggered(problem))
        self.add("greedy", greedy_index(problem, greedy_threshold(problem, decisions)))
        if problem.inference != "level-aware":
            self.add("generalist", load_generalist(problem, decisions))
        if found := tuned_fields(TUNED, problem, "constant", "coefficients", "training_seconds"):
            self.add("index", Index(problem, found[0], found[1]))
        else:
            self._tune()

    def _speed(self, episodes: int) -> float:
        """Decisions a second of compiled play."""
        began = time.perf_counter()
        Simulator(self.problem).errors([Index(self.problem, 0.0, {})], episodes, SEED)
        return episodes * self.length / (time.perf_counter() - began)

    def _tune(self) -> None:
        """The index policy from the committed coefficients, with as many generations as fit."""
        starts = committed_starts(self.problem)
        decisions = UNTIMED_TUNING if math.isinf(self.seconds) else min(_TUNING * self.seconds, self.left) * self.speed
        episodes = quick_episodes(self.problem, starts, int(decisions))
        if episodes >= 2:
            self.add("index", tune(self.problem, replace(QUICK, episodes=episodes), starts=starts)[0])
            return
        few = self.simulators["compact"].errors(starts, 2, FIRST_TUNING_SEED).mean(axis=1)
        self.add("index", starts[int(few.argmin())])

    def improve(self, steps: int | None) -> None:
        """Improve the best compiled policy, step by step, as long as another step is expected to end in time."""
        _, name, _, base = min((entry for entry in self.known if entry[3] is not None), key=lambda entry: entry[0])
        if base is None or steps == 0:
            return
        collector = PairCollector(self.problem, observation=observation_of_layers(base), n_episodes=32, threads=1)
        alone = self.problem.n_devices >= _MANY
        busy = (time.perf_counter() - self.began) / max(time.process_time() - self.worked, 1e-3)  # others' share too
        current, network, fit, number = base, None, _FIT * max(1.0, busy), 0
        checks = (1 + len(_SHARES)) * self.episodes * self.length / self.speed
        piece = PIECE[0] * (2 + PIECE[1] / (6 if alone else 2)) * self.length / self.speed  # least time of pairs
        seen: list[tuple[Any, ...]] = []
        while steps is None or number < steps:
            until = time.perf_counter() + min(0.6 * self.left, self.left - _SLACK * (checks + fit)) - piece
            if until < time.perf_counter():
                break
            pairs = collector.collect(current, PAIRS, self.rng, alone, until)
            began = time.perf_counter()
            inputs, scores = trunk_inputs(base, pairs.observations), outputs(base, pairs.observations)
            seen.append((inputs, scores, pairs.deltas[:, 0], pairs.scales))
            x, score, gain, scale = (np.concatenate(part) for part in zip(*seen, strict=True))
            unit, level = _line(score, gain, 1.0 / scale, through_zero=not alone)
            if network is None:
                network = make_network(_SETTINGS, x.shape[1], 2, torch.Generator().manual_seed(self.seed))
                network.set_input_scaling(x)
                network.rescale_outputs(float(gain.std()) or 1.0)
            missed, number = gain - unit * score - level, number + 1
            with torch_threads(1):
                fit_advantages(network, x, missed, scales=scale, updates=200, seed=self.seed + number)
            fit = time.perf_counter() - began
            learned = pack(network)
            parts = matrices(learned.widths, learned.weights)
            tried = [current, *(added(base, unit, parts, share) for share in _SHARES)]
            found = self.errors(tried, SEED + 2**20 + number * self.episodes).mean(axis=1)
            best = int(found.argmin())
            if best > 0:
                current = tried[best]
                self.add(f"{name}, improved {number} times", LayeredPolicy(self.problem, current))


def _line(x: NDArray[Any], y: NDArray[Any], weight: NDArray[Any], *, through_zero: bool) -> tuple[float, float]:
    """Slope, at least 1e-9, and value at 0 of y over x by weighted least squares.

    Pairs whose other devices repeat what they did are off by about a constant: then the level counts as an error.
    """
    columns = np.stack([x, np.zeros_like(x) if through_zero else np.ones_like(x)], axis=1) * weight[:, None]
    slope, level = np.linalg.lstsq(columns, y * weight, rcond=None)[0]
    return max(float(slope), 1e-9), float(level)
