"""Every setting of the learner, with its default and the reason for it; named configurations are JSON files."""

import dataclasses
import difflib
import json
import math
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

CONFIGURATIONS = Path(__file__).parent / "configurations"

_LARGEST = 10**12  # of an integer
_AT_LEAST = {
    1: "total_decisions n_environments replay_capacity batch_size threads pairs pairs_kept",
    0: "start_decisions start_updates replay_ratio learning_rate_end improvements pair_updates pair_cut value_updates",
}
_SHARES = "epsilon_start epsilon_end epsilon_fraction discount trace_decay"

_RETIRED: dict[str, tuple[Any, ...]] = {  # settings of older files, with the values that change nothing
    "max_episode_decisions": (None,),
    "epsilon_schedule": ("linear",),
    "n_steps": (5,),
    "unread": ((), []),
    "priority": (0.0,),
    "importance": (1.0,),
    "learning_rate_schedule": ("cosine",),
    "huber_delta": (None,),
}


class WrongTypeError(TypeError, ValueError):
    """A setting of a wrong type: of Python's kind for that, and of the kind that commands answer with its message."""


@dataclasses.dataclass(frozen=True)
class DQNConfig:
    """Settings of `agents.dqn.DQN`. The defaults are the configuration named ``default``.

    Raises:
        TypeError: a setting has the wrong type.
        ValueError: a setting lies outside its range, or two settings contradict each other.
    """

    # How long and how broadly to play
    total_decisions: int = 1_400_000  # where the default task stopped improving
    n_environments: int = 128  # episodes side by side, one round: hides torch's overhead and spares refits of returns
    start_decisions: int = 38_400  # played at random: one round of the default task; the first round always is
    start: Literal["random", "guide"] = "random"  # or epsilon_start-greedy around a policy handed in as `DQN.guide`

    # Exploration
    epsilon_start: float = 0.3  # the random start has already seen wild play; from there on it should resemble policies
    epsilon_end: float = 0.02  # every exploratory action disturbs the returns of the whole episode before it
    epsilon_fraction: float = 0.5  # of the training after which epsilon_end is reached, on a straight line
    exploration_weights: tuple[float, ...] | None = None  # relative odds of each action when random; None: equal

    # Returns
    discount: float = 1.0  # episodes are finite, and their plain sum is what is asked for
    returns: Literal["one_step", "lambda"] = "lambda"  # one-step targets diverged on long noisy episodes
    trace_decay: float = 0.95  # lambda of Peng's Q(lambda): short traces let the bootstrap's errors feed themselves
    double: bool = True  # one network chooses, the other values: the maximum over noise is biased upwards

    # Network
    network: Literal["mlp", "linear", "set", "state_action"] = "mlp"
    action_segments: tuple[int, ...] = ()  # only for "state_action": start and stop of each action's own inputs
    hidden: tuple[int, ...] = (128, 128)  # the smallest that lost nothing; larger ones cost time
    set_context: int = 0  # only for "set": numbers of an observation before its items, which come in any order
    set_item: int = 0  # numbers of each item
    set_encoder: tuple[int, ...] = (32,)  # sizes of the layers that encode an item, whose mean counts
    duelling: bool = True  # actions differ far less than states: let them have their own head
    input_scaling: Literal["none", "standard", "robust"] = "robust"  # "robust" also compresses the tails
    scale_outputs: bool = True  # learning rate and clipping then mean the same for every task

    # Fitting
    replay_capacity: int = 300_000  # decisions; older ones come from policies too different from the present one
    batch_size: int = 2_048  # noise of returns dwarfs the gap between actions; also amortises torch's overhead
    replay_ratio: float = 4.0  # times that each decision is used, on average
    start_updates: int = 300  # minibatches of the first fit, on the random start alone
    learning_rate: float = 1e-3
    learning_rate_end: float = 1e-4  # along half a cosine: a small last step averages over more of the noise
    max_gradient_norm: float = 10.0  # against rare huge errors; inactive most of the time
    target_rate: float = 0.02  # share of the online weights that enters the target network at each update
    average_rate: float = 0.005  # the same for the averaged network that is evaluated and exported

    # Improvement by counterfactual pairs, after the last decision (agents.improvement)
    improvements: int = 0  # steps of policy iteration; they need an environment that can play pairs
    pairs: int = 60_000  # played in each step: the noise of a regression falls with their root
    pairs_kept: int = 4  # steps whose pairs are fitted together: older ones bias a little, more have less noise
    pair_updates: int = 2_000  # minibatches of batch_size in each regression
    improve_from: Literal["learned", "guide"] = "learned"  # what plays on in the first step
    pair_cut: int = 0  # steps after which a pair is cut off; 0: never
    pair_step: float = 1.0  # weight of the pairs beside the gaps as they are: many deciders that all react overshoot
    pair_alone: bool = False  # only the decider that acted otherwise reacts: the others' noise is gone
    pair_alone_first: bool = False  # the same in the first step only
    value_updates: int = 1_500  # minibatches of batch_size in each fit of those values

    # Machine
    threads: int = 1  # of torch: small matrices gain nothing from more, and the results depend on their number

    def __post_init__(self) -> None:
        """Refuse settings that could not work."""
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if not _matches(value, kind):
                got = f"{value!r:.80} ({type(value).__name__})"
                raise WrongTypeError(f"DQNConfig.{name} must be {_spell(kind)}, got {got}")
            if isinstance(value, int) and abs(value) > _LARGEST:
                raise ValueError(f"DQNConfig.{name} must be at most {_LARGEST:,} in size, got more")
        for least, names in _AT_LEAST.items():
            for name in names.split():
                value = getattr(self, name)
                _require(least <= value < math.inf, name, f"at least {least}", value)
        for name in _SHARES.split():
            _require(0 <= getattr(self, name) <= 1, name, "between 0 and 1", getattr(self, name))
        for name in ("target_rate", "average_rate", "pair_step"):
            _require(0 < getattr(self, name) <= 1, name, "above 0 and at most 1", getattr(self, name))
        odds, in_sets = self.exploration_weights or (), self.network == "set"
        checks = {
            "threads": (self.threads <= 1_024, "at most 1,024"),
            "learning_rate": (0 < self.learning_rate < math.inf, "above 0 and finite"),
            "max_gradient_norm": (self.max_gradient_norm > 0, "above 0"),
            "exploration_weights": (all(0 < x < math.inf for x in odds), "above 0 each"),
            "hidden": (all(x >= 1 for x in self.hidden), "a list of sizes of at least 1"),
            "set_encoder": (min(self.set_encoder, default=0) >= 1, "sizes of at least 1"),
            "set_context": (self.set_context >= 0 or not in_sets, "at least 0"),
            "set_item": (self.set_item >= 1 or not in_sets, "at least 1"),
        }
        for name, (good, what) in checks.items():
            _require(good, name, what, getattr(self, name))
        if in_sets and not self.duelling:
            raise ValueError("DQNConfig: network='set' has duelling heads only; set duelling=True")
        if self.network in ("linear", "state_action") and self.duelling:
            raise ValueError(f"DQNConfig: network={self.network!r} has no duelling heads; set duelling=False")
        segments = self.action_segments
        ordered = sorted(zip(segments[::2], segments[1::2], strict=False))
        flat = [end for pair in ordered for end in pair]
        apart = len(segments) % 2 == 0 and flat == sorted(flat) and all(0 <= a < b for a, b in ordered)
        _require(apart, "action_segments", "pairs of start and stop that do not overlap", segments)

    @classmethod
    def names(cls) -> list[str]:
        """Return the named configurations, sorted."""
        return sorted(path.stem for path in CONFIGURATIONS.glob("*.json"))

    @classmethod
    def named(cls, name: str, **overrides: Any) -> Self:
        """Return a named configuration, with single settings overridden.

        Raises:
            ValueError: unknown name or setting; the message lists the known ones.
        """
        if name not in cls.names():
            raise ValueError(f"there is no configuration {name!r:.80}; known: {', '.join(cls.names())}")
        content = json.loads((CONFIGURATIONS / f"{name}.json").read_text(encoding="utf-8"))
        return cls.from_dict({**content["settings"], **overrides})

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """Build from plain JSON values; settings left out keep their defaults.

        Raises:
            ValueError: unknown or retired setting, or a value outside its range.
            TypeError: a value of the wrong type.
        """
        if not isinstance(settings, dict):
            raise WrongTypeError(f"DQNConfig must be made from names and values, got {settings!r:.80}")
        for name in _RETIRED.keys() & settings:
            if settings[name] not in _RETIRED[name]:
                raise ValueError(f"DQNConfig.{name} was retired: leave it out, got {settings[name]!r:.80}")
        settings = {name: value for name, value in settings.items() if name not in _RETIRED}
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = [name for name in settings if name not in known]
        if unknown:
            near = [match for name in unknown for match in difflib.get_close_matches(str(name), known, 1)]
            meant = f" (did you mean {' and '.join(near)}?)" if near else ""
            names = ", ".join(f"{name!r:.80}" for name in unknown)
            raise ValueError(f"unknown setting {names} of DQNConfig{meant}; known: {', '.join(known)}")
        values: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in settings.items()}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain JSON values."""
        settings = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some settings changed (checked like new ones)."""
        return self.from_dict({**self.to_dict(), **changes})


def _require(condition: bool, name: str, what: str, value: object) -> None:
    if not condition:  # also for NaN, of which no comparison holds
        raise ValueError(f"DQNConfig.{name} must be {what}, got {value!r:.80}")


def _matches(value: object, kind: Any) -> bool:
    origin = get_origin(kind)
    if origin is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if origin in (Union, UnionType):
        return any(_matches(value, option) for option in get_args(kind))
    if origin is tuple:
        return isinstance(value, tuple) and all(_matches(item, get_args(kind)[0]) for item in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _spell(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    if origin in (Union, UnionType):
        return " or ".join(_spell(option) for option in get_args(kind))
    if origin is tuple:
        return f"a list of {_spell(get_args(kind)[0])}"
    return "None" if kind is type(None) else str(kind.__name__)
