"""Deep Q-learning with action masks: double, duelling, with one-step, n-step or Peng's Q(lambda) returns.

A round plays one episode in every environment, appends them to the memory, recomputes the returns under the present
networks and fits minibatches to them. Between rounds nothing is left in the environment, so that a checkpoint of the
agent is a checkpoint of the training.

A variant overrides one method: `make_network` (another architecture), `q_values` (say, the mean over quantiles),
`targets` (another return), `loss`, or `random_actions` (another exploration).
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from agents.config import DQNConfig
from agents.environment import describe_environment, differences
from agents.exploration import epsilon_greedy, random_actions, schedule
from agents.networks import QNetwork, greedy_actions, make_network, move_towards
from agents.policy import GreedyPolicy
from agents.replay import PrioritisedReplay, Replay
from agents.rollout import Choose, play_episodes

CHUNK = 4_096  # rows in a forward pass over the memory: the activations stay in the cache


@dataclass(frozen=True)
class Progress:
    """What one round of training did, and where training stands."""

    rounds: int  # so far
    decisions: int  # so far
    episodes: int  # so far
    updates: int  # so far
    mean_return: float  # of the round's episodes, exploration included
    mean_length: float  # of the round's episodes, in decisions
    loss: float  # mean over the round's updates, in output scales; NaN without updates
    mean_value: float  # mean value of the actions in the round's minibatches; NaN without updates
    epsilon: float
    learning_rate: float
    seconds: float  # of this round
    decisions_per_second: float  # of this round, learning included


def train(agent: DQN, env: VectorEnv[Any, Any, Any], total_decisions: int | None = None) -> Iterator[Progress]:
    """Train round by round until the agent has taken ``total_decisions`` (None: as its configuration says).

    A generator: the caller logs, evaluates, saves or stops between rounds. An agent loaded from a checkpoint continues
    where it was, and with the same total ends as if it had never been interrupted.
    """
    total = agent.config.total_decisions if total_decisions is None else total_decisions
    while agent.decisions < total:
        yield agent.round(env, total)


class DQN:
    """A Q-learner over a fixed number of environments played side by side.

    Args:
        n_inputs: size of an observation.
        n_actions: A.
        config: every setting.
        seed: the same seed, environment and machine give the same weights, bit for bit.
        environment: what `describe_environment` says of the training environment; recorded in checkpoints.

    Raises:
        ValueError: settings that don't fit the environment.
    """

    def __init__(
        self, n_inputs: int, n_actions: int, config: DQNConfig, seed: int, environment: dict[str, Any] | None = None
    ) -> None:
        weights = config.exploration_weights
        if weights is not None and len(weights) != n_actions:
            raise ValueError(f"exploration_weights has {len(weights)} entries for {n_actions} actions")
        self.n_inputs, self.n_actions, self.config, self.seed = n_inputs, n_actions, config, seed
        self.environment = environment or {"n_inputs": n_inputs, "n_actions": n_actions, "id": None, "kwargs": {}}
        self.rng = np.random.default_rng(seed)
        self.online = self.make_network()
        self.target = copy.deepcopy(self.online).requires_grad_(False)  # slow copy, to bootstrap from
        self.average = copy.deepcopy(self.target)  # slower copy, to evaluate
        self.best = copy.deepcopy(self.target)  # the average as it was when it did best, see `keep_best`
        self.best_error = math.inf
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=config.learning_rate, fused=True)
        shape = config.replay_capacity, config.n_environments, n_inputs, n_actions
        self.memory = PrioritisedReplay(*shape, config.priority) if config.priority else Replay(*shape)
        self.returns: NDArray[np.float32] = np.zeros(
            0, dtype=np.float32
        )  # one for each place of the memory, made anew every round
        self.rounds = self.decisions = self.episodes = self.updates = 0
        self.updates_due = 0.0
        self.guide: Choose | None = None  # for config.start "guide"; no part of a checkpoint

    @classmethod
    def for_env(cls, env: VectorEnv[Any, Any, Any], config: DQNConfig, seed: int) -> Self:
        """Build an agent for an environment; the configuration's ``n_environments`` becomes the environment's.

        Raises:
            TypeError: the observation is no flat Box or the actions aren't Discrete from 0.
        """
        described = describe_environment(env)
        config = config.replace(n_environments=env.num_envs)
        return cls(described["n_inputs"], described["n_actions"], config, seed, described)

    # What a variant overrides

    def make_network(self) -> QNetwork:
        """Build and initialise the network."""
        return make_network(self.config, self.n_inputs, self.n_actions, torch.Generator().manual_seed(self.seed))

    @staticmethod
    def q_values(network: QNetwork, observations: Tensor, masks: Tensor) -> Tensor:
        """Return (B, A) action values of (B, n_inputs) observations; those of forbidden actions are never looked at."""
        return network(observations, masks)  # type: ignore[no-any-return]

    def targets(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (B,) values to regress on, for the memory's decisions at flat ``indices``."""
        if self.config.returns == "lambda":
            return self.returns[indices]
        n_steps = self.config.n_steps if self.config.returns == "n_step" else 1
        rewards, factors, successors = self.memory.n_step(indices, n_steps, self.config.discount)
        return rewards + factors * self.state_values(successors)

    def loss(self, values: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the mean loss of (B,) values against (B,) targets, both in output scales; weighted if asked."""
        delta = self.config.huber_delta
        how = "mean" if weights is None else "none"
        if delta is None:
            loss = mse_loss(values, targets, reduction=how)
        else:
            loss = huber_loss(values, targets, delta=delta, reduction=how)
        return loss if weights is None else (weights * loss).mean()

    def random_actions(self, masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return (K,) random allowed actions, for the start and for exploration."""
        return random_actions(masks, self.rng, self.config.exploration_weights)

    # Playing

    def start_actions(self, observations: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return (K,) actions of the first rounds: random, or epsilon-greedy around the guide's."""
        random = self.random_actions(masks)
        if self.config.start == "random":
            return random
        if self.guide is None:
            raise ValueError("config.start is 'guide', but the agent's guide was not set")
        return epsilon_greedy(self.guide(observations, masks), random, self.config.epsilon_start, self.rng)

    @torch.inference_mode()
    def act(self, observations: NDArray[np.float32], masks: NDArray[np.bool_], epsilon: float) -> NDArray[np.int64]:
        """Return (K,) allowed actions, epsilon-greedy under the online network."""
        random = self.random_actions(masks)
        allowed = torch.from_numpy(masks)
        values = self.q_values(self.online, torch.from_numpy(observations), allowed)
        return epsilon_greedy(greedy_actions(values, allowed).numpy(), random, epsilon, self.rng)

    @property
    def chosen(self) -> QNetwork:
        """The network to act with and to export: the best one that `keep_best` saw, else the present average."""
        return self.best if self.best_error < math.inf else self.average

    def keep_best(self, error: float) -> None:
        """Tell how the present average did on validation episodes (less is better); the best one is kept."""
        if error < self.best_error:
            self.best.load_state_dict(self.average.state_dict())
            self.best_error = error

    def policy(self, observation: str = "full", *, present: bool = False) -> GreedyPolicy:
        """Return the greedy policy of the chosen network, or of the present average; later training leaves it alone."""
        network = self.average if present else self.chosen
        return GreedyPolicy(copy.deepcopy(network), self.q_values, observation=observation)

    def round(self, env: VectorEnv[Any, Any, Any], total_decisions: int) -> Progress:
        """Play one episode in every environment and learn; the first rounds play at random.

        Raises:
            ValueError: the environment is not of the kind that the agent was made for, or shows nonsense; no guide.
            FloatingPointError: learning diverged.
        """
        self._check(env)
        config, before, began = self.config, self.decisions, time.perf_counter()
        start = max(1, min(config.start_decisions, total_decisions))
        at_random = before < start
        epsilon = self._epsilon(before / total_decisions)
        if at_random:
            epsilon = 1.0 if config.start == "random" else config.epsilon_start
        schedule_of_rate = (config.learning_rate_schedule, config.learning_rate, config.learning_rate_end)
        rate = schedule(*schedule_of_rate, before / total_decisions)
        with torch_threads(config.threads):
            choose = self.start_actions if at_random else lambda shown, masks: self.act(shown, masks, epsilon)
            returns, lengths = play_episodes(env, choose, self.memory, self.rng, config.max_episode_decisions)
            self.rounds += 1
            self.episodes += len(lengths)
            self.decisions += int(lengths.sum())
            if not at_random:
                self.updates_due += float(lengths.sum()) * config.replay_ratio / config.batch_size
            elif self.decisions >= start:
                self._set_scaling()
                self.updates_due = config.start_updates
            loss, value = self.learn(rate)
        seconds = time.perf_counter() - began
        return Progress(
            self.rounds, self.decisions, self.episodes, self.updates, float(returns.mean()), float(lengths.mean()),
            loss, value, epsilon, rate, seconds, float(lengths.sum()) / seconds,
        )  # fmt: skip

    # Learning

    def learn(self, learning_rate: float) -> tuple[float, float]:
        """Recompute the returns and do the updates that are due; return mean loss and mean value."""
        due = int(self.updates_due)
        if due == 0:
            return float("nan"), float("nan")
        self.updates_due -= due
        self.optimizer.param_groups[0]["lr"] = learning_rate
        if self.config.returns == "lambda":
            self.returns = self._lambda_returns()
        loss, value = np.mean([self.update() for _ in range(due)], axis=0)
        if not np.isfinite(loss):
            raise FloatingPointError(f"learning diverged before update {self.updates}: lower the learning rate")
        return float(loss), float(value)

    def update(self) -> tuple[float, float]:
        """Fit one minibatch and move the slow networks; return its loss and its mean value."""
        memory, online = self.memory, self.online
        indices = memory.sample(self.config.batch_size, self.rng)
        targets = torch.from_numpy(self.targets(indices))
        observations, masks = self._shown(indices)
        actions = torch.from_numpy(memory.action.reshape(-1)[indices])
        values = self.q_values(online, observations, masks).gather(1, actions[:, None]).squeeze(1)
        center, scale = online.output_center, online.output_scale
        fitted, wanted = (values - center) / scale, (targets - center) / scale
        weights = memory.weights(indices, self.config.importance)
        if weights is None:
            loss = self.loss(fitted, wanted)
        else:
            loss = self.loss(fitted, wanted, torch.from_numpy(weights))
            memory.prioritise(indices, (fitted - wanted).abs().detach().numpy())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(online.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        move_towards(self.target, online, self.config.target_rate)
        move_towards(self.average, online, self.config.average_rate)
        self.updates += 1
        return loss.item(), values.mean().item()

    @torch.inference_mode()
    def state_values(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (B,) values of the best allowed action at flat ``indices``, by double Q-learning if configured."""
        parts = []
        for chunk in np.array_split(indices, -(-len(indices) // CHUNK)):
            observations, masks = self._shown(chunk)
            valued = self.q_values(self.target, observations, masks)
            chooser = self.q_values(self.online, observations, masks) if self.config.double else valued
            parts.append(valued.gather(1, greedy_actions(chooser, masks)[:, None]).squeeze(1).numpy())
        return np.concatenate(parts)

    def adopt(self, network: QNetwork) -> None:
        """Take over the weights and the scaling of another network, in all three networks."""
        for own in (self.online, self.target, self.average):
            own.load_state_dict(network.state_dict())

    def _lambda_returns(self) -> NDArray[np.float32]:
        memory = self.memory
        values = np.zeros((memory.n_rows, memory.n_streams), dtype=np.float32)
        written = self.state_values(np.arange(memory.filled * memory.n_streams))
        values[: memory.filled] = written.reshape(memory.filled, memory.n_streams)
        return memory.lambda_returns(values, self.config.discount, self.config.trace_decay).reshape(-1)

    def _set_scaling(self) -> None:
        """Estimate the scaling from the random start, with its Monte Carlo returns."""
        memory, decisions = self.memory, self.memory.decisions()
        if self.config.input_scaling != "none":
            self.online.set_input_scaling(memory.observation.reshape(-1, self.n_inputs)[decisions])
        if self.config.scale_outputs:
            nothing = np.zeros((memory.n_rows, memory.n_streams), dtype=np.float32)
            returns = memory.lambda_returns(nothing, self.config.discount, trace_decay=1.0)
            self.online.set_output_scaling(returns.reshape(-1)[decisions])
        self.adopt(self.online)

    def _shown(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        observations = self.memory.observation.reshape(-1, self.n_inputs)[indices]
        return torch.from_numpy(observations), torch.from_numpy(self.memory.mask.reshape(-1, self.n_actions)[indices])

    def _epsilon(self, fraction: float) -> float:
        config = self.config
        share = fraction / config.epsilon_fraction if config.epsilon_fraction else 1.0
        return schedule(config.epsilon_schedule, config.epsilon_start, config.epsilon_end, share)

    def _check(self, env: VectorEnv[Any, Any, Any]) -> None:
        wrong = differences(self.environment, describe_environment(env)) if self.environment["id"] else []
        if env.num_envs != self.config.n_environments:
            wrong.append(f"num_envs: the agent plays {self.config.n_environments}, here {env.num_envs}")
        if wrong:
            raise ValueError("the agent was made for another environment: " + "; ".join(wrong))

    # Checkpoints

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything that changes: tensors, and counters with the generator's state as JSON values."""
        tensors: dict[str, Tensor] = {}
        for name in ("online", "target", "average", "best"):
            tensors |= {f"{name}.{key}": value for key, value in getattr(self, name).state_dict().items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{key}": value for key, value in moments.items()}
        tensors |= {f"memory.{key}": torch.from_numpy(value) for key, value in self.memory.state().items()}
        counters = {name: getattr(self, name) for name in COUNTERS}
        return tensors, {**counters, "generator": self.rng.bit_generator.state}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        for name in ("online", "target", "average", "best"):
            getattr(self, name).load_state_dict(_below(name, tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _below("optimizer", tensors).items():
            number, _, name = key.partition(".")
            moments.setdefault(int(number), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.memory.restore({key: value.numpy() for key, value in _below("memory", tensors).items()})
        for name in COUNTERS:
            setattr(self, name, counters[name])
        self.rng.bit_generator.state = counters["generator"]


COUNTERS = ("rounds", "decisions", "episodes", "updates", "updates_due", "best_error")


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(f"{prefix}."): value for key, value in tensors.items() if key.startswith(f"{prefix}.")}


@contextlib.contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let torch use ``n`` threads, and as many as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
