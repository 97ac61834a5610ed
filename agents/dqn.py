"""Deep Q-learning with action masks: double, duelling, with one-step or Peng's Q(lambda) returns.

A round plays one episode in every environment, appends them to the memory, recomputes the returns under the present
networks and fits minibatches to them. Between rounds nothing is left in the environment, so that a checkpoint of the
agent is a checkpoint of the training.

A variant overrides one method: `make_network` (another architecture), `q_values` (say, the mean over quantiles),
`targets` (another return), `loss`, or `random_actions` (another exploration).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

from agents.config import DQNConfig
from agents.environment import check_environment, describe_environment
from agents.exploration import cosine, epsilon_at, epsilon_greedy, random_actions
from agents.fitting import descend, make_optimizer, move_towards, torch_threads
from agents.networks import QNetwork, greedy_actions, make_network
from agents.policy import GreedyPolicy
from agents.replay import Replay
from agents.rollout import Choose, Progress, play_episodes
from agents.state import Resumable

GROUP = 16  # minibatches whose targets are computed at once; the target network hardly moves between them
CHUNK = 4_096  # rows in a forward pass over the memory: the activations stay in the cache


def train(agent: DQN, env: VectorEnv[Any, Any, Any], total_decisions: int | None = None) -> Iterator[Progress]:
    """Train round by round until the agent has taken ``total_decisions`` (None: as its configuration says).

    A generator: the caller logs, evaluates, saves or stops between rounds. An agent loaded from a checkpoint continues
    where it was, and with the same total ends as if it had never been interrupted.
    """
    total = agent.config.total_decisions if total_decisions is None else total_decisions
    while agent.decisions < total:
        yield agent.round(env, total)


class DQN(Resumable):
    """A Q-learner over a fixed number of environments played side by side.

    Args:
        seed: the same seed, environment and machine give the same weights, bit for bit.
        environment: what `describe_environment` says of the training environment; recorded in checkpoints.

    Raises:
        ValueError: settings that don't fit the environment.
    """

    def __init__(
        self, n_inputs: int, n_actions: int, config: DQNConfig, seed: int, environment: dict[str, Any] | None = None
    ) -> None:
        odds = config.exploration_weights
        if odds is not None and len(odds) != n_actions:
            raise ValueError(f"exploration_weights has {len(odds)} entries for {n_actions} actions")
        self.n_inputs, self.n_actions, self.config, self.seed = n_inputs, n_actions, config, seed
        self.environment = environment or {"n_inputs": n_inputs, "n_actions": n_actions, "id": None, "kwargs": {}}
        self.rng = np.random.default_rng(seed)
        self.online = self.make_network()
        self.target = copy.deepcopy(self.online).requires_grad_(False)  # slow copy, to bootstrap from
        self.average = copy.deepcopy(self.target)  # slower copy, to evaluate
        self.best = copy.deepcopy(self.target)  # the average as it was when it did best, see `keep_best`
        self.best_error = math.inf
        self.optimizer = make_optimizer(self.online, config.learning_rate)
        self.memory = Replay(config.replay_capacity, config.n_environments, n_inputs, n_actions)
        self.returns = np.zeros(0, np.float32)  # one for each place of the memory, computed anew every round
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
        """Build and initialise the network; reads ``config``, ``n_inputs``, ``n_actions`` and ``seed`` alone."""
        return make_network(self.config, self.n_inputs, self.n_actions, torch.Generator().manual_seed(self.seed))

    @staticmethod
    def q_values(network: QNetwork, observations: Tensor, masks: Tensor) -> Tensor:
        """Return (B, A) action values of (B, n_inputs) observations; those of forbidden actions are never looked at."""
        return network(observations, masks)  # type: ignore[no-any-return]

    def targets(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (B,) values to regress on, for the memory's decisions at flat ``indices``."""
        if self.config.returns == "lambda":
            return self.returns[indices]
        rewards, factors, successors = self.memory.one_step(indices, self.config.discount)
        return rewards + factors * self.state_values(successors)

    def loss(self, values: Tensor, targets: Tensor) -> Tensor:
        """Return the (B,) losses of (B,) values against (B,) targets, both in output scales."""
        return mse_loss(values, targets, reduction="none")

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
        random, allowed = self.random_actions(masks), torch.from_numpy(masks)
        values = self.q_values(self.online, torch.from_numpy(observations), allowed)
        return epsilon_greedy(greedy_actions(values, allowed).numpy(), random, epsilon, self.rng)

    @property
    def chosen(self) -> QNetwork:
        """The network to act with and to export: the best one that `keep_best` saw, else the present average."""
        return self.best if self.best_error < math.inf else self.average

    def keep_best(self, error: float) -> None:
        """Copy the present average to ``best`` if its ``error`` on validation episodes is the least so far."""
        if error < self.best_error:
            self.best.load_state_dict(self.average.state_dict())
            self.best_error = error

    def policy(self, observation: str = "full", *, present: bool = False) -> GreedyPolicy:
        """Return the greedy policy of the chosen network, or of the present average; later training leaves it alone."""
        network = self.average if present else self.chosen
        return GreedyPolicy(copy.deepcopy(network), self.q_values, observation=observation)

    def round(self, env: VectorEnv[Any, Any, Any], total_decisions: int) -> Progress:
        """Play one episode in every environment and learn; the first rounds play at random or by the guide.

        Raises:
            ValueError: the environment is not of the kind that the agent was made for, or returns nonsense; no guide.
            FloatingPointError: learning diverged.
        """
        check_environment(env, self.environment, self.config.n_environments)
        config, began, before = self.config, time.perf_counter(), self.decisions
        fraction = before / total_decisions
        start = max(1, min(config.start_decisions, total_decisions))
        starting = before < start
        epsilon = epsilon_at(config, fraction, starting)
        rate = cosine(config.learning_rate, config.learning_rate_end, fraction)
        choose = self.start_actions if starting else lambda observations, masks: self.act(observations, masks, epsilon)
        with torch_threads(config.threads):
            returns, lengths = play_episodes(env, choose, self.memory, self.rng)
            played = int(lengths.sum())
            self.rounds, self.episodes, self.decisions = self.rounds + 1, self.episodes + len(lengths), before + played
            if not starting:
                self.updates_due += played * config.replay_ratio / config.batch_size
            elif self.decisions >= start:
                self._set_scaling()
                self.updates_due = config.start_updates
            loss, value = self.learn(rate)
        seconds = time.perf_counter() - began
        return Progress(
            self.rounds, self.decisions, self.episodes, self.updates, float(returns.mean()), float(lengths.mean()),
            loss, value, epsilon, rate, seconds, played / seconds,
        )  # fmt: skip

    # Learning

    def learn(self, learning_rate: float) -> tuple[float, float]:
        """Recompute the returns and do the updates that are due; return mean loss and mean value."""
        config, memory, due = self.config, self.memory, int(self.updates_due)
        if due == 0:
            return math.nan, math.nan
        self.updates_due -= due
        if config.returns == "lambda":
            values = self.state_values(np.arange(memory.filled * memory.n_streams))
            self.returns = memory.lambda_returns(values, config.discount, config.trace_decay)
        done = [pair for k in range(0, due, GROUP) for pair in self.update(min(GROUP, due - k), learning_rate)]
        loss, value = np.mean(done, axis=0)
        if not np.isfinite(loss):
            raise FloatingPointError(f"learning diverged before update {self.updates}: lower the learning rate")
        return float(loss), float(value)

    def update(self, n: int, learning_rate: float) -> Iterator[tuple[float, float]]:
        """Fit ``n`` minibatches, whose targets are computed together; yield each one's loss and mean value."""
        config, memory, online, size = self.config, self.memory, self.online, self.config.batch_size
        learned, target, average = (list(x.parameters()) for x in (online, self.target, self.average))
        indices = memory.sample(n * size, self.rng)
        targets = torch.from_numpy(np.asarray(self.targets(indices), np.float32))
        columns = (
            *self._batch(indices),
            torch.from_numpy(memory.flat("action").take(indices))[:, None],
            (targets - online.output_center) / online.output_scale,
        )
        for batch in zip(*(torch.split(column, size) for column in columns), strict=True):
            observations, masks, actions, targets = batch
            values = self.q_values(online, observations, masks).gather(1, actions).squeeze(1)
            scaled = (values - online.output_center) / online.output_scale
            loss = self.loss(scaled, targets).mean()
            descend(self.optimizer, loss, learning_rate, config.max_gradient_norm)
            move_towards(target, learned, config.target_rate)
            move_towards(average, learned, config.average_rate)
            self.updates += 1
            yield loss.item(), values.mean().item()

    @torch.inference_mode()
    def state_values(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (B,) values of the best allowed action at flat ``indices``, by double Q-learning if configured."""
        found = []
        for part in torch.split(torch.from_numpy(indices), CHUNK):
            observations, masks = self._batch(part.numpy())
            values = self.q_values(self.target, observations, masks)
            chooser = self.q_values(self.online, observations, masks) if self.config.double else values
            found.append(values.gather(1, greedy_actions(chooser, masks)[:, None]).squeeze(1))
        return torch.cat(found).numpy()

    def _batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the (B, n_inputs) observations and the (B, A) masks at flat ``indices``."""
        observations, masks = (self.memory.flat(name).take(indices, axis=0) for name in ("observation", "mask"))
        return torch.from_numpy(observations), torch.from_numpy(masks)

    def adopt(self, network: QNetwork) -> None:
        """Copy the weights and the scaling of another network to the online, target and average networks."""
        for own in (self.online, self.target, self.average):
            own.load_state_dict(network.state_dict())

    def _set_scaling(self) -> None:
        """Estimate the scaling from the first rounds, with their Monte Carlo returns."""
        memory, decisions = self.memory, self.memory.decisions()
        if self.config.input_scaling != "none":
            self.online.set_input_scaling(memory.flat("observation")[decisions])
        if self.config.scale_outputs:
            self.online.set_output_scaling(memory.monte_carlo_returns(self.config.discount)[decisions])
        self.adopt(self.online)
