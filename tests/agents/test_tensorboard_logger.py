import subprocess
import sys
from pathlib import Path

import pytest

from agents import DQN, TensorBoardLogger, train
from tests.agents.toy_environments import Identity, small_config, vector

pytest.importorskip("tensorboard")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tags_are_those_of_stable_baselines(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    env = vector(Identity, 16)
    agent = DQN.for_env(env, small_config(start_decisions=200), 0)
    with TensorBoardLogger(tmp_path / "run") as logger:
        for progress in train(agent, env, 500):
            logger.log(progress)
        logger.scalar("eval/mean_reward", 7.5, progress.decisions)
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"rollout/ep_rew_mean", "eval/mean_reward", "train/loss", "time/fps"} <= tags
    assert [(e.step, e.value) for e in events.Scalars("eval/mean_reward")] == [(agent.decisions, 7.5)]
    assert len(events.Scalars("rollout/ep_rew_mean")) == 4
    assert len(events.Scalars("train/loss")) == 3, "no loss is logged before the first update"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_resumed_run_hides_what_a_crashed_one_logged_beyond_its_checkpoint(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for value, resumed_at, steps in ((1.0, None, range(100, 600, 100)), (2.0, 300, range(400, 800, 100))):
        logger = TensorBoardLogger(tmp_path, resumed_at)
        for step in steps:
            logger.scalar("eval/mean_reward", value, step)
        logger.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    found = [(event.step, event.value) for event in events.Scalars("eval/mean_reward")]
    assert found == [(step, 1.0 if step <= 300 else 2.0) for step in range(100, 800, 100)]


def test_tensorboard_is_imported_only_where_used():
    code = "import sys, agents; print([m for m in ('tensorboard', 'aq_gym') if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    out = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
