"""Deep Q-learning with action masks: double, duelling, with one-step, n-step or Peng's Q(lambda) returns.

A round plays one episode in every environment, appends them to the memory, recomputes the returns under the present
networks and fits minibatches to them. Between rounds nothing is left in the environment, so that a checkpoint of the
agent is a checkpoint of the training.

A variant overrides one method: `make_network` (another architecture), `q_values` (say, the mean over quantiles),
`targets` (another return), `loss`, or `random_actions` (another exploration). Where neither `q_values` nor `loss` is
overridden and `agents.gradients.Perceptron` knows the network, its gradients are written out; autograd does the rest.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from agents.config import DQNConfig
from agents.environment import describe_environment, differences
from agents.exploration import epsilon_greedy, random_actions, schedule
from agents.gradients import Adam, FlatParameters, Perceptron
from agents.networks import QNetwork, greedy_actions, make_network
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


class Minibatch(NamedTuple):
    """What one update is fitted to."""

    observations: Tensor  # (B, n_inputs)
    masks: Tensor  # (B, A)
    actions: Tensor  # (B,)
    targets: Tensor  # (B,) in output scales
    weights: Tensor | None  # (B,) None: all alike


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
        self._flatten()
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

    def _flatten(self) -> None:
        """Make each network's parameters one vector, and the optimizer that of the online network's."""
        flat = self._flat_online, self._flat_target, self._flat_average = (
            FlatParameters(self.online), FlatParameters(self.target), FlatParameters(self.average)
        )  # fmt: skip
        self.optimizer = Adam(flat[0], self.config.learning_rate)
        self._perceptrons = (Perceptron(flat[0]), Perceptron(flat[1])) if Perceptron.knows(self.online) else None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Networks with parameters of their own, as those of a copy: they become one vector again."""
        self.__dict__.update(state)
        moments = self.optimizer.state()
        self._flatten()
        self.optimizer.restore(moments)

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
        flat = (self._flat_online, self.online), (self._flat_target, self.target), (self._flat_average, self.average)
        if not all(vector.belongs_to(network) for vector, network in flat):
            self.__setstate__({})  # somebody has put other networks or parameters in
        self.optimizer.learning_rate = learning_rate
        if self.config.returns == "lambda":
            self.returns = self._lambda_returns()
        loss, value = np.mean([self.update() for _ in range(due)], axis=0)
        if not np.isfinite(loss):
            raise FloatingPointError(f"learning diverged before update {self.updates}: lower the learning rate")
        return float(loss), float(value)

    def update(self) -> tuple[float, float]:
        """Fit one minibatch and move the slow networks; return its loss and its mean value."""
        memory, flat = self.memory, self._flat_online
        indices = memory.sample(self.config.batch_size, self.rng)
        importance = memory.weights(indices, self.config.importance)
        observations, masks = self._shown(indices)
        center, scale = self.online.output_center.item(), self.online.output_scale.item()
        targets = np.asarray((self.targets(indices) - center) / scale, dtype=np.float32)
        batch = Minibatch(
            observations,
            masks,
            torch.from_numpy(memory.action.reshape(-1).take(indices)),
            torch.from_numpy(targets),
            None if importance is None else torch.from_numpy(importance),
        )
        if self._perceptrons is not None and self._usual(DQN.q_values) and self._usual(DQN.loss):
            loss, fitted = self._differentiate(self._perceptrons[0], batch)
        else:
            loss, fitted = self._differentiate_by_autograd(batch)
        if importance is not None:
            memory.prioritise(indices, (fitted - batch.targets).abs().numpy())
        flat.clip(self.config.max_gradient_norm)
        self.optimizer.step()
        self._flat_target.move_towards(flat, self.config.target_rate)
        self._flat_average.move_towards(flat, self.config.average_rate)
        self.updates += 1
        return loss, center + scale * fitted.mean().item()

    def _differentiate_by_autograd(self, batch: Minibatch) -> tuple[float, Tensor]:
        """Leave the gradients of a minibatch's loss; return the loss and the (B,) values, in output scales."""
        center, scale = self.online.output_center, self.online.output_scale
        values = self.q_values(self.online, batch.observations, batch.masks)
        fitted = (values.gather(1, batch.actions[:, None]).squeeze(1) - center) / scale
        weights = () if batch.weights is None else (batch.weights,)
        loss = self.loss(fitted, batch.targets, *weights)
        self._flat_online.begin()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item(), fitted.detach()

    @torch.inference_mode()
    def _differentiate(self, network: Perceptron, batch: Minibatch) -> tuple[float, Tensor]:
        """Do the same for a `Perceptron` and the `loss` of this class, derived by hand."""
        passed = network.forward(network.scaled(batch.observations))
        coefficients = network.coefficients(batch.actions, batch.masks)
        fitted = (coefficients * passed[-1]).sum(1)
        errors, delta = fitted - batch.targets, self.config.huber_delta
        slopes = errors * 2.0 if delta is None else errors.clamp(-delta, delta)
        if batch.weights is not None:
            slopes *= batch.weights
        network.backward(passed, coefficients.mul_(slopes.div_(len(slopes))[:, None]))
        return self.loss(fitted, batch.targets, batch.weights).item(), fitted

    def _usual(self, method: Callable[..., Tensor]) -> bool:
        """Whether no variant overrides a method."""
        own = getattr(self, method.__name__)
        return getattr(own, "__func__", own) is method

    @torch.inference_mode()
    def state_values(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (B,) values of the best allowed action at flat ``indices``, by double Q-learning if configured."""
        if len(indices) <= CHUNK:
            return self._values_of(*self._shown(indices)).numpy()
        parts = np.array_split(indices, -(-len(indices) // CHUNK))
        return np.concatenate([self._values_of(*self._shown(part)).numpy() for part in parts])

    def _values_of(self, observations: Tensor, masks: Tensor) -> Tensor:
        """Return (B,) values of the best allowed action, of (B, n_inputs) observations."""
        if self._perceptrons is not None and self._usual(DQN.q_values):
            online, target = self._perceptrons
            inputs = target.scaled(observations)
            outputs = chooser = target.forward(inputs)[-1]
            if self.config.double:
                chooser = online.forward(inputs if online.reads_as(target) else online.scaled(observations))[-1]
            actions = greedy_actions(target.preferences(chooser), masks)
            values = (target.coefficients(actions, masks) * outputs).sum(1)
            return values.mul_(self.target.output_scale).add_(self.target.output_center)
        valued = self.q_values(self.target, observations, masks)
        chooser = self.q_values(self.online, observations, masks) if self.config.double else valued
        return valued.gather(1, greedy_actions(chooser, masks)[:, None]).squeeze(1)

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
        observations = self.memory.observation.reshape(-1, self.n_inputs).take(indices, axis=0)
        masks = self.memory.mask.reshape(-1, self.n_actions).take(indices, axis=0)
        return torch.from_numpy(observations), torch.from_numpy(masks)

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
        tensors |= {f"optimizer.{key}": value for key, value in self.optimizer.state().items()}
        tensors |= {f"memory.{key}": torch.from_numpy(value) for key, value in self.memory.state().items()}
        counters = {name: getattr(self, name) for name in COUNTERS}
        return tensors, {**counters, "generator": self.rng.bit_generator.state}

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        for name in ("online", "target", "average", "best"):
            getattr(self, name).load_state_dict(_below(name, tensors))
        self.optimizer.restore(_below("optimizer", tensors))
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
