"""Training runs: curves, checkpoints, interruptions, and that something is learned."""

import itertools
import json
import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agents import CheckpointError, DQNConfig
from aq_gym import reference_scores
from baselines.evaluation import build_policy
from baselines.heuristics.index_tuning import index_policy
from baselines.heuristics.simple import Random, Staggered
from baselines.learners.clock import Step
from baselines.learners.resumption import CHECKPOINT, POLICY
from baselines.learners.run import train
from baselines.learners.shipped import load_pretrained, load_trained, pretrained_ids
from baselines.learners.task import RECIPES, recipe
from baselines.learners.training import Training
from baselines.learners.validation import Validation, quick_to_evaluate
from baselines.packing import errors_of
from baselines.playing import play_problem, problem_of

KWARGS: dict[str, Any] = {"devices": [0, 15], "horizon": 8, "energy_budget": 2, "max_sleep": 5, "n_levels": 4}
ROUND = 16 * 8 * 2  # decisions
TINY = DQNConfig(
    total_decisions=5 * ROUND, n_environments=16, start_decisions=ROUND, start_updates=5, replay_capacity=3 * ROUND,
    replay_ratio=1.0, batch_size=32, hidden=(8,), input_scaling="standard", improvements=2, pairs=200, pairs_kept=2,
    pair_updates=10,
)  # fmt: skip
STEPS = 7
GUIDED = TINY.replace(start="guide", improve_from="guide")
QUICK: dict[str, Any] = {"validations": 2, "validation_episodes": 8}


def training(folder: Path | None, config: DQNConfig = TINY, seed: int = 0, **kwargs: Any) -> Training:
    return Training("MultiDevice-v0", config, seed, folder, **{**QUICK, **KWARGS, **kwargs})


def contents(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of the policy and of the checkpoint."""
    files = (folder / POLICY, folder / CHECKPOINT)
    return {f"{file.name}: {name}": value for file in files for name, value in load_file(file).items()}


def assert_same(one: Path, other: Path) -> None:
    mine, theirs = contents(one), contents(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    steps: list[Step] = []
    train(training(folder), watch=steps.append)
    assert [step.stage for step in steps] == ["learning"] * 5 + ["improving"] * 2
    return folder


def interrupt_after(steps: int) -> Callable[[Step], None]:
    left = [steps]

    def watch(step: Step) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    return watch


def at_decision(run: Training, number: int, do: Callable[[], None]) -> None:
    """Call ``do`` in the midst of a round, ``number`` decisions of each environment from now."""
    step, left = run.env.step, [number]

    def stepped(actions: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            do()
        return step(actions)

    run.env.step = stepped  # type: ignore[method-assign]


def control_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("steps", [1, 5, 6, STEPS])  # a round, the last of them, an improvement, the end
def test_interrupted_and_resumed_equals_uninterrupted(
    finished: Path, tmp_path: Path, steps: int, capsys: pytest.CaptureFixture[str]
) -> None:
    train(training(tmp_path), watch=interrupt_after(steps))
    assert "interrupted" in capsys.readouterr().out
    stopped = load_trained(tmp_path)
    assert stopped.card["decisions"] == min(steps, 5) * ROUND
    again: list[Step] = []
    train(training(tmp_path, resume=True), watch=again.append)
    assert len(again) == STEPS - steps and capsys.readouterr().out == ""
    assert_same(finished, tmp_path)


def test_control_c_within_a_step_waits_for_its_end(finished: Path, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    run = training(tmp_path)
    at_decision(run, 16 + 16 + 5, control_c)  # in the third round
    train(run)
    assert run.agent.decisions == 3 * ROUND, "the round that was under way ended, and no other began"
    assert signal.getsignal(signal.SIGINT) is handler
    train(training(tmp_path, resume=True))
    assert_same(finished, tmp_path)


def test_control_c_twice_drops_the_step(finished: Path, tmp_path: Path) -> None:
    train(training(tmp_path), watch=interrupt_after(2))
    before = contents(tmp_path)
    run = training(tmp_path, resume=True)

    def twice() -> None:
        control_c()
        control_c()

    at_decision(run, 5, twice)
    train(run)
    after = contents(tmp_path)
    assert all(torch.equal(value, after[name]) for name, value in before.items()), "half a round was saved"
    train(training(tmp_path, resume=True))
    assert_same(finished, tmp_path)


def test_errors_are_not_taken_for_interruptions(tmp_path: Path) -> None:
    def fail(step: Step) -> None:
        raise RuntimeError("no such colour")

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="no such colour"):
        train(training(tmp_path), watch=fail)
    assert signal.getsignal(signal.SIGINT) is handler


def test_trains_in_a_thread(finished: Path, tmp_path: Path) -> None:
    """Where no signals can be handled."""
    thread = threading.Thread(target=lambda: train(training(tmp_path)))
    thread.start()
    thread.join()
    assert_same(finished, tmp_path)


def test_evaluations_choose_the_policy_and_do_not_touch_the_learning(tmp_path: Path) -> None:
    learning = TINY.replace(improvements=0)
    runs = [training(tmp_path / str(n), learning, validations=n, validation_episodes=n) for n in (1, 5)]
    for run in runs:
        train(run)
    one, other = (run.agent.state()[0] for run in runs)
    for name in one:
        if not name.startswith("best."):
            assert torch.equal(one[name], other[name]), name
    many = runs[1]
    assert many.agent.best_error == many.validate() < math.inf


def test_another_seed_is_another_run(finished: Path, tmp_path: Path) -> None:
    train(training(tmp_path, seed=1))
    mine, theirs = load_file(finished / POLICY), load_file(tmp_path / POLICY)
    assert any(not torch.equal(value, theirs[name]) for name, value in mine.items())


def test_steps_tell_where_training_stands(tmp_path: Path) -> None:
    run = training(None)
    steps = list(run.run())
    assert [s.decisions for s in steps[:5]] == [ROUND * (k + 1) for k in range(5)]
    assert [b.decisions - a.decisions >= 200 for a, b in itertools.pairwise(steps[4:])] == [True, True]
    shares = [s.share for s in steps]
    assert shares == sorted(shares) and shares[-1] == 1.0 and 0 < shares[0] < shares[4] < 1.0
    seconds = [s.seconds for s in steps]
    assert seconds == sorted(seconds) and seconds[0] > 0
    evaluated = [s.validation_error is not None for s in steps]
    assert evaluated == [False, False, True, False, True, True, True]  # at halves of the decisions, then every time
    assert min(s.validation_error for s in steps if s.validation_error is not None) == run.validate()


def test_a_limit_holds_for_a_training_and_its_resumptions_together(tmp_path: Path) -> None:
    config = TINY.replace(improvements=0)
    run = training(tmp_path / "parts", config)
    policy = train(run, seconds=0.0)
    assert run.agent.decisions == ROUND, "one round is played whatever the limit"
    first = load_trained(tmp_path / "parts").training_seconds
    assert policy.training_seconds == run.seconds == first > 0
    again = training(tmp_path / "parts", config, resume=True)
    assert again.seconds == first
    train(again, seconds=first)
    assert again.agent.decisions == ROUND, "nothing is left of the limit"
    last = training(tmp_path / "parts", config, resume=True)
    train(last)
    assert load_trained(tmp_path / "parts").training_seconds == last.seconds > again.seconds == first
    train(training(tmp_path / "whole", config))
    one, other = (load_file(tmp_path / name / CHECKPOINT) for name in ("parts", "whole"))
    for name, value in one.items():
        assert name.startswith("best.") or torch.equal(value, other[name]), name  # a limit adds validations


def test_what_is_left_can_be_played(finished: Path) -> None:
    run = training(None)
    policy = load_trained(finished)
    assert policy.observation == "compact" and policy.card["env_id"] == "MultiDevice-v0"
    assert load_trained(finished / POLICY).training_seconds == policy.training_seconds > 0
    record = play_problem(policy, run.problem, 20, 0)
    assert np.isfinite(record.joint_error).all() and record.forced == 0
    assert sorted(path.name for path in finished.iterdir() if path.suffix == ".safetensors") == [CHECKPOINT, POLICY]


def test_the_note_is_on_the_card(tmp_path: Path) -> None:
    run = training(tmp_path, note={"command": "make it so"})
    train(run, seconds=0.0)
    assert load_trained(tmp_path).card["command"] == "make it so"


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    policy = train(training(None), seconds=0.0)
    assert list(tmp_path.iterdir()) == []
    assert policy.training_seconds > 0


def test_resuming_something_else_is_refused(finished: Path, tmp_path: Path) -> None:
    before = contents(finished)
    with pytest.raises(ValueError, match=r"other settings.*: hidden was \[8\], here \[9\]; batch_size was 32, here 33"):
        training(finished, TINY.replace(hidden=[9], batch_size=33), resume=True)
    with pytest.raises(ValueError, match="n_environments was 16, here 8"):
        training(finished, TINY.replace(n_environments=8), resume=True)
    with pytest.raises(ValueError, match="seed was 0, here 4"):
        training(finished, seed=4, resume=True)
    with pytest.raises(CheckpointError, match=r"another environment.*horizon"):
        training(finished, resume=True, horizon=9)
    with pytest.raises(FileNotFoundError, match=CHECKPOINT):
        training(tmp_path, resume=True)
    with pytest.raises(ValueError, match="expected a folder to resume from"):
        training(None, resume=True)
    assert all(torch.equal(value, contents(finished)[name]) for name, value in before.items())


def test_a_finished_run_can_be_prolonged(tmp_path: Path) -> None:
    train(training(tmp_path, TINY.replace(improvements=0)))
    run = training(tmp_path, TINY.replace(total_decisions=6 * ROUND, improvements=1), resume=True)
    train(run)
    assert run.agent.decisions == 6 * ROUND and run.agent.improvements == 1


@pytest.mark.parametrize("settings", [{"input_scaling": "robust"}, {"duelling": False}])
def test_improvements_that_could_not_be_played_are_refused_at_once(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="only a duelling network"):
        training(None, TINY.replace(**settings))
    training(None, TINY.replace(**settings, improvements=0))


def test_recipes() -> None:
    """Each of them makes a learner whose policy can be improved."""
    known = json.loads(RECIPES.read_text(encoding="utf-8"))
    assert recipe("aq_gym/no-such-id") == known["default"]
    for name in known:
        chosen = recipe(name)
        config = DQNConfig.named(chosen["config"], **chosen["settings"])
        Training("MultiDevice-v0", config.replace(n_environments=2, improvements=1), 0, None)


def test_short_trainings_may_have_settings_of_their_own() -> None:
    known = json.loads(RECIPES.read_text(encoding="utf-8"))["MultiDevice-v0"]
    limits = [short["seconds"] for short in known["short"]]
    assert limits == sorted(limits)
    assert recipe("aq_gym/MultiDevice-v0")["settings"] == known["settings"]
    assert recipe("aq_gym/MultiDevice-v0", limits[-1] + 1)["settings"] == known["settings"]
    for short, longer in zip(known["short"], [0, *limits], strict=False):
        for seconds in (longer + 1, short["seconds"]):
            assert recipe("aq_gym/MultiDevice-v0", seconds) == {
                "config": "default",
                "why": known["why"],
                "settings": {**known["settings"], **short["settings"]},
            }
    assert recipe("aq_gym/City-v0", 1.0) == recipe("aq_gym/City-v0")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    # Files of the same second are read in the order of their numbers as text: 10 before 9.
    return {tag: sorted((e.step, e.value) for e in events.Scalars(tag)) for tag in events.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_shows_learning_beside_the_yardsticks(tmp_path: Path) -> None:
    """On an id as registered, where the optimum is known."""
    config = TINY.replace(total_decisions=16 * 60 * 2, start_decisions=16 * 60, improvements=1)
    run = Training("aq_gym/SingleDevice-v0", config, 0, tmp_path, validations=2, validation_episodes=40)
    steps: list[Step] = []
    train(run, watch=steps.append)
    curves = scalars(tmp_path)
    assert {"rollout/ep_rew_mean", "eval/mean_reward", "eval/joint_error", "eval/regret_percent"} <= set(curves)
    assert {"train/loss", "time/fps", "train/pair_error", "train/pair_spread"} <= set(curves)
    assert [at for at, _ in curves["eval/action_value_error"]] == [step.decisions for step in steps]
    assert all(0 < share < 1 for _, share in curves["eval/policy_disagreement"])

    axis = [step.decisions for step in steps]
    errors = [step.validation_error for step in steps]
    assert [at for at, _ in curves["eval/joint_error"]] == axis
    np.testing.assert_allclose([x for _, x in curves["eval/joint_error"]], np.array(errors, float), rtol=1e-6)
    rewards = [x for _, x in curves["eval/mean_reward"]]
    np.testing.assert_allclose(rewards, -60 * np.array(errors, float), rtol=1e-6)
    lines = {name: scalars(tmp_path / name) for name in ("random", "synchronised", "staggered", "optimal")}
    optimum = lines["optimal"]["eval/joint_error"][0][1]
    regret = [x for _, x in curves["eval/regret_percent"]]
    np.testing.assert_allclose(regret, 100 * (np.array(errors, float) / optimum - 1), rtol=1e-3)
    assert min(regret) > 0
    for name, line in lines.items():
        assert set(line) == {"eval/joint_error", "eval/mean_reward", "eval/regret_percent"}, name
        (start, low), (end, high) = line["eval/joint_error"]
        assert start == 0 and low == high >= optimum and end >= config.total_decisions, name

    # What learning sees has the staggered schedule's error added; the figures on TensorBoard have not.
    alone = Training("aq_gym/SingleDevice-v0", config, 0)
    bare = alone.agent.round(alone.env.env, config.total_decisions).mean_return
    assert curves["rollout/ep_rew_mean"][0][1] == pytest.approx(bare, rel=1e-5)
    assert bare < 60 * -optimum < 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_resumed_run_draws_its_yardsticks_once(tmp_path: Path) -> None:
    """And an instance whose optimum is unknown has neither that line nor a regret."""
    train(training(tmp_path), watch=interrupt_after(2))
    lines = [scalars(tmp_path / name)["eval/joint_error"] for name in ("random", "synchronised", "staggered")]
    train(training(tmp_path, resume=True))
    assert lines == [scalars(tmp_path / name)["eval/joint_error"] for name in ("random", "synchronised", "staggered")]
    assert not (tmp_path / "optimal").exists()
    curves = scalars(tmp_path)
    assert "eval/regret_percent" not in curves
    assert [at for at, _ in curves["rollout/ep_rew_mean"]] == [ROUND * (k + 1) for k in range(5)]


@pytest.mark.slow
def test_learns_to_beat_random_and_staggered() -> None:
    config = TINY.replace(
        total_decisions=40 * ROUND, start_decisions=4 * ROUND, start_updates=50, replay_capacity=20 * ROUND,
        replay_ratio=8.0, batch_size=128, hidden=[32], average_rate=0.02, exploration_weights=[3.0, 1.0],
        improvements=0,
    )  # fmt: skip
    run = training(None, config)
    policy = train(run)
    ours, random, staggered = (
        play_problem(player, run.problem, 1_000, 0).joint_error
        for player in (policy, Random(run.problem), Staggered(run.problem))
    )
    for other, bar in ((random, 0.1), (staggered, 0.0)):
        gain = other - ours
        assert gain.mean() - 4 * gain.std() / len(gain) ** 0.5 > bar * other.mean(), f"{ours.mean()}, {other.mean()}"


def test_guided_training_resumes_where_it_was(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(training(whole, GUIDED))
    train(training(parts, GUIDED), watch=interrupt_after(2))
    run = training(parts, GUIDED, resume=True)
    assert 0 < run.agent.decisions < GUIDED.total_decisions
    train(run)
    assert_same(whole, parts)


def test_long_problems_are_validated_on_512_episodes_and_short_ones_on_more() -> None:
    assert training(None, validation_episodes=None).validation_episodes == 150_000 // 16
    long = Training("MultiDevice-v0", TINY, 0, None)
    assert long.validation_episodes == 512


@pytest.mark.parametrize("name", pretrained_ids())
def test_shipped_agents_are_as_good_as_their_cards_say(name: str) -> None:
    agent, problem = load_pretrained(f"aq_gym/{name}"), problem_of(name)
    assert agent.card["env_id"].endswith(name) and agent.card["commit"] and agent.card["training_seconds"] > 0
    assert agent.card["command"].startswith(("python -m scripts.train_dqn", "python -m scripts.imitate"))
    assert build_policy("pretrained", problem)[0].card == agent.card
    episodes = 40 if name == "City-v0" else 200
    ours, index = (errors_of(x, problem, episodes, 0) for x in (agent, index_policy(problem)))
    if agent.card.get("policy_is") == "its guide":  # nothing learned from the index policy on was better
        assert (ours == index).all()
    elif name != "SingleDevice-Day-v0":  # there the index policy is within 0.2 % of the optimum
        assert (ours - index).mean() < 0, "paired, on the same episodes"
    goals = {"SingleDevice-v0": 0.003, "SingleDevice-Day-v0": 0.005, "TwoDevices-v0": 0.005}  # of the optimum
    if name in goals:
        best = play_problem(build_policy("optimal", problem)[0], problem, 200, 0).joint_error
        regret = ours - best
        assert regret.mean() < goals[name] * best.mean() + 2 * regret.std() / 200**0.5


def test_other_problems_have_no_shipped_agent() -> None:
    with pytest.raises(ValueError, match="no agent is shipped for 'aq_gym/Mars-v0', only for"):
        load_pretrained("aq_gym/Mars-v0")
    with pytest.raises(ValueError, match=r"pretrained: no agent was trained on this problem.*scripts\.train_dqn"):
        build_policy("pretrained", problem_of("MultiDevice-v0", **KWARGS))


@pytest.mark.parametrize("env_id", ["SingleDevice-v0", "TwoDevices-v0"])
def test_disagreement_with_the_exact_action_values(env_id: str) -> None:
    watched = Validation(problem_of(env_id), 16, solvable=True)
    gaps = watched._optimal_states("compact")[1]
    assert len(gaps) > 2000 and 0.1 < np.mean(gaps > 0) < 0.9

    class Fixed:
        observation = "compact"

        def __init__(self, off: float, sign: float) -> None:
            self.off, self.sign = off, sign

        def action_values(self, observation: np.ndarray, info: dict[str, Any]) -> np.ndarray:
            return np.stack([np.zeros(len(gaps)), self.sign * gaps + self.off], axis=1)

    exact, opposite, shifted = (watched.disagreement(Fixed(*x)) for x in ((0.0, 1.0), (0.0, -1.0), (3.0, 1.0)))
    assert exact == {"eval/action_value_error": 0.0, "eval/policy_disagreement": 0.0}
    assert opposite["eval/policy_disagreement"] == np.mean(gaps != 0.0)
    assert shifted["eval/action_value_error"] == pytest.approx(3.0)
    assert Validation(watched.problem, 16, solvable=False).disagreement(Fixed(0.0, 1.0)) == {}


@pytest.mark.parametrize("name", ["paper", "linear"])
def test_the_papers_own_forms_read_the_full_observation(name: str) -> None:
    small = {"n_environments": 16, "start_decisions": ROUND, "total_decisions": 2 * ROUND, "start_updates": 5}
    config = DQNConfig.named(name, **small, replay_capacity=2 * ROUND)
    run = Training("aq_gym/MultiDevice-v0", config, validation_episodes=4, **KWARGS)
    policy = train(run)
    size = 2 * 30 + 6 * len(KWARGS["devices"]) + 4
    assert policy.observation == "full" and run.agent.n_inputs == size and not policy.network.compress
    if name == "paper":
        m = len(KWARGS["devices"])
        on, off = 2 * m, 3 * m + 31
        assert run.agent.config.action_segments == (off, off + 31 + m, on, on + 31 + m)
        own = policy.network.own.numpy()
        assert own.sum(axis=1).tolist() == [size - 31 - m] * 2 and own.min(axis=0).sum() == size - 2 * (31 + m)
    with pytest.raises(ValueError, match="the guide does not read"):
        Training("aq_gym/MultiDevice-v0", config.replace(start="guide"), **KWARGS)


def test_small_problems_are_validated_exactly() -> None:
    """The optimum's error is then the reference score, and a regret below a tenth of a per cent can be told."""
    watched = Validation(problem_of("TwoDevices-v0"), 16, solvable=True, exact=True)
    assert watched.optimum == pytest.approx(reference_scores("TwoDevices-v0")["optimum"], rel=1e-4)
    assert str(watched) == "in exact expectation"
    assert watched.error(Staggered(watched.problem)) > watched.optimum
    assert quick_to_evaluate(problem_of("SingleDevice-v0")) and not quick_to_evaluate(problem_of("MultiDevice-v0"))
    assert training(None, validation_episodes=None).validated == "in exact expectation"
    assert training(None).validated == "on 8 validation episodes"
    unequal = {"energy_budgets": [1, 3], "energy_budget": 2, "horizon": 8, "max_sleep": 8}
    assert not quick_to_evaluate(problem_of("TwoDevices-v0", **unequal)), "these are played"
    assert quick_to_evaluate(problem_of("TwoDevices-Hidden-v0", **unequal, harvest=(0.1, 3)))


def test_what_a_time_limit_needs_is_compiled_before_the_clock_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, float]] = []
    monkeypatch.setattr(Validation, "limit", lambda self, seconds: limits.append((self.problem.horizon, seconds)))
    monkeypatch.setattr("baselines.learners.training._compiled", set())
    training(None).prepare(60.0)
    assert [slots for slots, seconds in limits if math.isfinite(seconds)] == [4, 8], "the tiny one's comes first"


@pytest.mark.slow
@pytest.mark.parametrize("energies", [{"energy_budgets": [1, 3]}, {"harvest": (0.3, 4)}])
def test_trains_with_unequal_or_harvested_energies(energies: dict[str, Any], tmp_path: Path) -> None:
    shape: dict[str, Any] = {"energy_budget": 2, "horizon": 8, "max_sleep": 8, **energies}
    trained = Training("TwoDevices-v0", TINY, folder=tmp_path, **shape)
    for _ in trained.run():
        pass
    assert math.isfinite(trained.validate())
