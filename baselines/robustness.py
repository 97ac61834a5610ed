"""Policies where the world is not what they were made for: wrong parameters, noise, lost readings, dying devices."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from aq_gym import inference
from aq_gym.episodes import Episodes
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from baselines.backtest import check_shares
from baselines.playing import check_count, check_policy


@dataclass(frozen=True)
class Disturbance:
    """What differs from the world that a policy was made for; by default nothing.

    Attributes:
        network: another network that holds in truth, of the same locations; the policy's own is used for what it sees.
        level_noise: standard deviation of the error of the level that server and policy know, as a share of it.
        late: they know the level of the slot before only: a forecast by persistence.
        lost: share of the readings that never arrive; their energy is spent.
        dead: the first so many devices have no energy in the second half of an episode, and the policy sees that.
    """

    network: SensorNetwork | None = None
    level_noise: float = 0.0
    late: bool = False
    lost: float = 0.0
    dead: int = 0

    def __post_init__(self) -> None:
        check_shares(self)


def scaled(network: SensorNetwork, **factors: float) -> SensorNetwork:
    """The network with some of its variances multiplied, such as ``measurement_variance=2.0``.

    Raises:
        ValueError: a name of no field.
    """
    unknown = sorted(set(factors) - {field.name for field in dataclasses.fields(network)})
    if unknown:
        raise ValueError(f"factors: a network has no field {', '.join(unknown)}")
    return dataclasses.replace(network, **{name: getattr(network, name) * x for name, x in factors.items()})


def play_disturbed(
    policy: Any, problem: Problem, disturbance: Disturbance, episodes: int, seed: int
) -> NDArray[np.float64]:
    """(episodes,) average joint errors [µg/m³] of a policy made for a problem, in a disturbed world.

    Episode k has the weather of seed ``seed + k``, as in `baselines.play`; errors are those of the true network, the
    true level and the readings that arrived.

    Args:
        policy: as `aq_gym.policy.Policy`, of the sequential view.
        problem: that the policy was made for.
        disturbance: what differs.
        episodes: how many.
        seed: of the first.

    Raises:
        TypeError: the policy has no method `act`.
        ValueError: a bad number, or a true network of other locations.
    """
    check_policy(policy)
    k, m, horizon = check_count("episodes", episodes, 1), problem.n_devices, problem.horizon
    check_count("seed", seed, 0)
    true = disturbance.network or problem.network
    if true.n_locations != problem.n_locations:
        raise ValueError(f"network: has {true.n_locations} locations, the policy's {problem.n_locations}")
    if hasattr(policy, "reset"):
        policy.reset(seed)
    there = Problem.create(true, problem.devices, horizon, problem.energy_budget, problem.max_sleep, **problem.options)
    uniforms = np.stack([seeding.np_random(seed + i)[0].random(horizon + 1) for i in range(k)])
    path = np.asarray(true.levels)[Episodes(there, 1).draw_path(uniforms)]  # (K, T + 1)
    seen, rng = Episodes(problem, k, observation=getattr(policy, "observation", None) or "full"), _noise(seed)
    known = path * np.maximum(1.0 + disturbance.level_noise * rng.standard_normal(path.shape), 0.1)
    if disturbance.late:
        known[:, 1:] = known[:, :-1].copy()
    lost = rng.random((k, horizon, m)) < disturbance.lost
    energy, delay = np.full((k, m), problem.energy_budget), np.ones((k, m), np.int64)
    record, noted = (np.repeat(levels[:, :1], m, axis=1) for levels in (path, known))
    total = np.zeros(k)
    for slot in range(1, horizon + 1):
        if slot == horizon // 2 + 1:
            energy[:, : disturbance.dead] = 0
        level, told = path[:, slot], known[:, slot]
        for turn in range(m):
            observation = seen.place(np.full(k, slot), np.full(k, turn), energy, delay, noted, told)
            mask = seen.action_mask()
            info = {
                "slot": np.full(k, slot),
                "turn": np.full(k, turn),
                "energy": energy.copy(),
                "delay": delay.copy(),
                "record": noted.copy(),
                "level": told.copy(),
                "action_mask": mask,
            }
            wish = np.asarray(policy.act(observation, info)) == 1
            on = (wish | (mask[:, 0] == 0)) & (mask[:, 1] == 1)
            energy[on, turn] -= 1
            arrived = on & ~lost[:, slot - 1, turn]
            delay[arrived, turn] = 0
            record[arrived, turn], noted[arrived, turn] = level[arrived], told[arrived]
        errors = inference.joint_error(true, problem.devices, delay, record, level, **problem.options)
        total += errors.mean(axis=1)
        delay = np.minimum(delay + 1, problem.max_sleep)
    return total / horizon


def _noise(seed: int) -> np.random.Generator:
    """Apart from the weather's stream of the same seed."""
    return np.random.default_rng([seed, 0x6E6F697365])
