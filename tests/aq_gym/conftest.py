"""What the tests of the world share: made-up networks and problems, and a slow, plain copy of the model."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from aq_gym import SensorNetwork
from aq_gym.problem import Problem


def random_network(rng: np.random.Generator, n_locations: int, n_levels: int, extreme: bool = False) -> SensorNetwork:
    """Any network that is allowed: relations need be neither symmetric nor positive, transitions may be impossible."""
    n, e = n_locations, n_levels
    off = ~np.eye(n, dtype=bool)
    spread = 3.0 if extreme else 1.0
    levels = np.sort(np.exp(rng.uniform(np.log(20.0) - spread, np.log(20.0) + spread, e))) + 1e-3 * np.arange(e)
    transition = rng.dirichlet(np.full(e, 0.5), e)
    transition[rng.random((e, e)) < 0.3] = 0.0
    transition[np.arange(e), (np.arange(e) + 1) % e] += 0.2
    start = rng.dirichlet(np.ones(e))
    return SensorNetwork(
        measurement_variance=float(10.0 ** rng.uniform(-4, -1)),
        temporal_variance=0.0 if extreme and rng.random() < 0.3 else float(rng.uniform(0.1, 60.0)),
        mean_relation=np.where(off, rng.normal(0.0, 0.3 if extreme else 0.1, (n, n)), 0.0),
        variance_relation=np.where(off & (rng.random((n, n)) < 0.9), rng.uniform(0.0, 0.05, (n, n)), 0.0),
        levels=levels,
        transition=transition / transition.sum(axis=1, keepdims=True),
        start=start,
    )


def random_problem(seed: int, extreme: bool = False, max_devices: int = 30, aware: bool = False) -> dict[str, Any]:
    """Arguments of `MultiDeviceEnv` for a made-up problem; every other one fuses its own readings.

    Extreme ones have made-up networks, which have no level model.
    """
    rng = np.random.default_rng(seed)
    kind = seed % (2 if aware else 3)
    if kind == 0:
        network = SensorNetwork.load("pku2018")
    elif kind == 1:
        network = SensorNetwork.synthetic(int(rng.integers(2, 45)), seed=seed)
    else:
        network = random_network(rng, int(rng.integers(2, 35)), int(rng.integers(1, 7)), extreme)
    n_devices = int(rng.integers(1, min(max_devices, network.n_locations) + 1))
    horizon, max_sleep = int(rng.integers(1, 11)), int(rng.integers(1, 6))
    return {
        "network": network,
        "devices": rng.permutation(network.n_locations)[:n_devices].tolist(),
        "horizon": horizon,
        "energy_budget": -(-horizon // max_sleep) + int(rng.integers(0, 3)),
        "max_sleep": max_sleep,
        "fuse_measured": bool(rng.integers(2)) and not aware,
        "inference": "level-aware" if aware else "paper",
        "level_noise": float(rng.choice([0.0, 0.1, 0.5])) if aware else 0.0,
    }


class World:
    """The model played in plain Python, one episode; every error comes from `inference`."""

    def __init__(self, problem: Problem, levels: Sequence[float]) -> None:
        m = problem.n_devices
        self.problem, self.levels = problem, np.asarray(levels, dtype=float)
        self.slot, self.turn, self.capped = 1, 0, 0
        self.energy = np.full(m, problem.energy_budget)
        self.delay = np.ones(m, dtype=int)
        self.record = np.full(m, self.levels[0])

    @property
    def over(self) -> bool:
        return self.slot > self.problem.horizon

    @property
    def level(self) -> float:
        return float(self.levels[min(self.slot, self.problem.horizon)])

    def errors(self, sensing: Sequence[int] = ()) -> np.ndarray:
        """(N,) joint errors now, or with some devices having sensed."""
        delay, record = self.delay.copy(), self.record.copy()
        delay[list(sensing)], record[list(sensing)] = 0, self.level
        return self.problem.infer(delay, record, self.level).joint_error

    def allowed(self, m: int) -> list[bool]:
        """Off and on."""
        on = self.energy[m] > 0
        return [not (on and self.delay[m] == self.problem.max_sleep), bool(on)]

    def decide(self, action: int) -> tuple[float, bool]:
        """The sequential view's reward, and whether the action was replaced."""
        m, before = self.turn, self.errors().mean()
        allowed = self.allowed(m)
        executed = action if allowed[action] else 1 - action
        if executed:
            self.energy[m] -= 1
            self.delay[m], self.record[m] = 0, self.level
        after = self.errors().mean()
        self.turn += 1
        if self.turn == self.problem.n_devices:
            self.turn, self.slot = 0, self.slot + 1
            self.capped += int((self.delay == self.problem.max_sleep).sum())
            self.delay = np.minimum(self.delay + 1, self.problem.max_sleep)
        return float(-after if m == 0 else before - after), executed != action

    def decreases(self, sensing: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(N,) decreases of J, and (M,) each device's power deficiency times its own."""
        p = self.problem
        decrease = self.errors() - self.errors(sensing)
        left = p.horizon - self.slot + 1
        with np.errstate(divide="ignore"):
            deficiency = np.where(self.energy > 0, left / self.energy / (p.horizon / p.energy_budget), p.energy_budget)
        return decrease, deficiency * decrease[list(p.devices)]

    def later(self) -> list[int]:
        return [m for m in range(self.turn + 1, self.problem.n_devices) if self.energy[m] > 0]

    def full(self, error_scale: float, joint: bool = False) -> np.ndarray:
        """The observation of docs/model.md, scaled; the error scale is the layout's."""
        p = self.problem
        n, m = p.n_locations, p.n_devices
        turn, on, off = np.zeros(m), np.zeros(n + m + 1), np.zeros(n + m + 1)
        if not joint:
            turn[self.turn] = 1
        if not self.over:
            everybody = [i for i in range(m) if self.energy[i] > 0]
            segments = [(on, everybody)] if joint else [(on, [self.turn]), (off, self.later())]
            for segment, sensing in segments:
                decrease, own = self.decreases(sensing)
                segment[:] = [*decrease / error_scale, *own / (p.energy_budget * error_scale), 1.0]
        top = p.network.levels[-1]
        remaining = (p.horizon - self.slot + 1) / p.horizon
        parts = (turn, self.energy / p.energy_budget, on, off, [remaining], self.delay / p.max_sleep, self.record / top)
        return np.concatenate([*parts, [self.level / top]])


@pytest.fixture(scope="session")
def made_up_network() -> Callable[..., SensorNetwork]:
    """`random_network`."""
    return random_network


@pytest.fixture(scope="session")
def made_up_problem() -> Callable[..., dict[str, Any]]:
    """`random_problem`."""
    return random_problem


@pytest.fixture(scope="session")
def world() -> type[World]:
    """The class `World`."""
    return World
