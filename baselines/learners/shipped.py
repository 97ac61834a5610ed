"""Policies that trainings left, and the agents that the repository ships."""

from pathlib import Path

from agents import GreedyPolicy, load_policy
from aq_gym.problem import Problem
from baselines.heuristics.in_turn import InTurn
from baselines.heuristics.problems import entry_problem, same_problem
from baselines.heuristics.relay import AdaptiveRelay
from baselines.learners.generalist import DECISIONS, in_units_of
from baselines.learners.resumption import POLICY

PRETRAINED = Path(__file__).parents[1] / "pretrained"
GENERALIST = Path(__file__).parents[1] / "generalist.safetensors"


def load_trained(folder: str | Path) -> GreedyPolicy:
    """The policy that a training left in its folder (or an exported file).

    Raises:
        FileNotFoundError: no such file, or no folder of a training.
        CheckpointError: a file that is no policy or is damaged.
    """
    folder = Path(folder)
    path = folder / POLICY if folder.is_dir() else folder
    if not path.is_file():
        what = f"holds no {POLICY}" if folder.is_dir() else "is no file and no folder"
        raise FileNotFoundError(
            f"{folder} {what}: expected a folder that scripts.train_dqn wrote, such as runs/dqn/MultiDevice-v0-seed0"
        )
    policy = load_policy(path)
    policy.training_seconds = float(policy.card.get("training_seconds", float("nan")))
    return policy


def pretrained_ids() -> list[str]:
    """The ids, without ``aq_gym/``, that an agent is shipped for."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def load_pretrained(env_id: str) -> GreedyPolicy | InTurn:
    """The agent that is shipped for an id, with or without the ``aq_gym/``; its ``card`` says how it was trained.

    JointDevices-v0 is MultiDevice-v0's problem: its agent is that one, asked device by device. MultiDevice-Trace-v0 has
    the same devices and horizon: its agent is that one too, trained on the level chain of both periods.

    Raises:
        ValueError: none is shipped for this id; the message lists those that are.
    """
    name = env_id.rpartition("/")[2]
    if name == "JointDevices-v0":
        return InTurn(load_pretrained("MultiDevice-v0"), entry_problem(name))
    if name == "MultiDevice-Trace-v0":
        name = "MultiDevice-v0"
    if name not in pretrained_ids():
        raise ValueError(f"env_id: no agent is shipped for {env_id!r}, only for {', '.join(pretrained_ids())}")
    return load_trained(PRETRAINED / f"{name}.safetensors")


def is_shipped(problem: Problem) -> bool:
    """Whether an agent is shipped that was trained on this very problem."""
    return any(same_problem(problem, entry_problem(name)) for name in pretrained_ids())


def pretrained_policy(problem: Problem) -> GreedyPolicy | InTurn:
    """The agent that is shipped for a problem."""
    for name in pretrained_ids():
        if same_problem(problem, entry_problem(name)):
            return load_pretrained(name)
    raise ValueError(
        f"pretrained: no agent was trained on this problem, only on those of {', '.join(pretrained_ids())}; "
        "`generalist` plays any problem, scripts.train_dqn trains one for it"
    )


def load_generalist(problem: Problem, decisions: int = DECISIONS) -> GreedyPolicy | AdaptiveRelay:
    """The agent that plays any instance, for a problem; nothing is learned.

    Known level: the shipped one; its ``card`` says how it was tuned. It needs to know in which unit the problem's
    errors are small or large and how high its threshold should be, so it is played there for a second or two
    (`generalist.in_units_of`). Hidden level: `AdaptiveRelay`, planned on the problem's own chain.

    Args:
        problem: what it will play.
        decisions: simulated to find the unit; twice as many again for the blend and the threshold.

    Raises:
        ValueError: level-aware inference, for which neither is made, or none is shipped.
    """
    if problem.inference == "hidden":
        return AdaptiveRelay(problem)
    if problem.inference != "paper":
        raise ValueError(
            f"generalist: was tuned with the paper's inference, not with {problem.inference!r}; index is tuned for "
            "any problem, scripts.train_dqn trains an agent"
        )
    if not GENERALIST.exists():
        raise ValueError("generalist: no such agent is shipped; scripts.tune_generalist makes one")
    return in_units_of(load_trained(GENERALIST), problem, decisions)
