"""Tiny environments with known optima for the learners' tests."""

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class Identity(gym.Env):
    """One-hot of a random number; playing that number pays 1. Eight decisions."""

    def __init__(self, n: int = 4) -> None:
        self.n = n
        self.observation_space = gym.spaces.Box(0.0, 1.0, (n,), np.float32)
        self.action_space = gym.spaces.Discrete(n)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.left = 8
        return self._observe(), {}

    def step(self, action):
        reward = float(action == self.target)
        self.left -= 1
        return self._observe(), reward, self.left == 0, False, {}

    def _observe(self):
        self.target = int(self.np_random.integers(self.n))
        return np.eye(self.n, dtype=np.float32)[self.target]


class Battery(gym.Env):
    """Sell one of few charges at a random price, or wait; selling is forced after three slots of waiting.

    Waiting costs 0.1 for each slot since the last sale. Playing a forbidden action raises.
    """

    HORIZON, CHARGES, PATIENCE, PRICES = 7, 3, 3, (0.1, 0.4, 1.0)

    def __init__(self) -> None:
        self.size = self.HORIZON + self.CHARGES + 1 + self.PATIENCE + 1 + len(self.PRICES)
        self.observation_space = gym.spaces.Box(0.0, 1.0, (self.size,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.state = (0, self.CHARGES, 0, self._price())
        return self.encode(self.state), {"action_mask": self.mask(self.state)}

    def step(self, action):
        if not self.mask(self.state)[action]:
            raise AssertionError(f"forbidden action {action} in {self.state}")
        reward, (slot, energy, delay) = self.move(self.state, int(action))
        self.state = (slot, energy, delay, self._price())
        over = slot == self.HORIZON
        return self.encode(self.state), reward, over, False, {"action_mask": self.mask(self.state)}

    def _price(self) -> int:
        return int(self.np_random.integers(len(self.PRICES)))

    @classmethod
    def move(cls, state, action):
        slot, energy, delay, price = state
        if action:
            return cls.PRICES[price], (slot + 1, energy - 1, 0)
        return -0.1 * delay, (slot + 1, energy, min(delay + 1, cls.PATIENCE))

    @classmethod
    def mask(cls, state):
        _, energy, delay, _ = state
        return np.array([not (energy > 0 and delay == cls.PATIENCE), energy > 0], dtype=np.int8)

    @classmethod
    def encode(cls, state):
        slot, energy, delay, price = state
        sizes = (cls.HORIZON, cls.CHARGES + 1, cls.PATIENCE + 1, len(cls.PRICES))
        parts = [np.arange(size) == value for size, value in zip(sizes, (slot, energy, delay, price), strict=True)]
        return np.concatenate(parts).astype(np.float32)


def expected_return(choose=None) -> float:
    """Exact expected return of Battery under ``choose(state) -> action``; None: the optimum."""

    @cache
    def value(slot, energy, delay):
        if slot == Battery.HORIZON:
            return 0.0
        total = 0.0
        for price in range(len(Battery.PRICES)):
            state = (slot, energy, delay, price)
            allowed = [a for a in (0, 1) if Battery.mask(state)[a]]
            chosen = allowed if choose is None else [choose(state)]
            assert set(chosen) <= set(allowed)
            total += max(r + value(*after) for r, after in (Battery.move(state, a) for a in chosen))
        return total / len(Battery.PRICES)

    return value(0, Battery.CHARGES, 0)


def played_return(policy) -> float:
    """Exact expected return of Battery under an agents' policy."""
    return expected_return(lambda state: policy.act(Battery.encode(state), {"action_mask": Battery.mask(state)}))


class Ragged(gym.Env):
    """Episodes of random length 2..6, truncated at 4. Observation: (mark of the episode, step); reward: action + step.

    Action 1 is forbidden at odd steps, and playing it raises.
    """

    def __init__(self) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 10.0, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.at, self.length, self.mark = 0, int(self.np_random.integers(2, 7)), float(self.np_random.random())
        return self._observe()

    def step(self, action):
        assert action == 0 or self.at % 2 == 0, "forbidden action"
        reward = float(action + self.at)
        self.at += 1
        observation, info = self._observe()
        return observation, reward, self.at == self.length, self.at == 4 and self.length != 4, info

    def _observe(self):
        mask = np.array([1, self.at % 2 == 0], dtype=np.int8)
        return np.array([self.mark, self.at], dtype=np.float32), {"action_mask": mask}


def vector(make, n: int, mode: AutoresetMode = AutoresetMode.NEXT_STEP) -> SyncVectorEnv:
    """Return ``n`` environments side by side."""
    return SyncVectorEnv([make] * n, autoreset_mode=mode)


def small_config(**settings):
    """Return a configuration that learns the toys in about a second."""
    from agents import DQNConfig

    base = {
        "total_decisions": 10_000, "n_environments": 16, "start_decisions": 1_500, "replay_capacity": 6_000,
        "hidden": (48,), "batch_size": 128, "replay_ratio": 8.0, "start_updates": 150, "learning_rate": 3e-3,
        "learning_rate_end": 3e-4, "target_rate": 0.05, "average_rate": 0.02, "epsilon_end": 0.1,
    }  # fmt: skip
    return DQNConfig(**{**base, **settings})
