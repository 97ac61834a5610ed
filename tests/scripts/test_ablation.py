"""The ablation, with tiny settings."""

import argparse
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from agents import DQNConfig
from baselines.learners.resumption import CHECKPOINT
from baselines.learners.run import train
from baselines.learners.task import recipe
from baselines.learners.training import Training
from baselines.studies import ablation as study
from baselines.studies.stored_trainings import FINISHED, train_once
from scripts import ablation

TINY = {
    "n_environments": 8,
    "start_decisions": 128,
    "total_decisions": 256,
    "start_updates": 5,
    "replay_capacity": 1000,
    "replay_ratio": 1.0,
    "batch_size": 32,
    "hidden": [8],
    "improvements": 1,
    "pairs": 200,
    "pair_updates": 10,
}
KWARGS = {"devices": [0, 15], "horizon": 8, "energy_budget": 2, "max_sleep": 5, "n_levels": 4}


@pytest.mark.parametrize("env_id", ["MultiDevice-v0", "TwoDevices-v0", "SingleDevice-v0", "MultiDevice-Day-v0"])
def test_every_variant_differs_from_the_recipe(env_id: str) -> None:
    chosen = recipe(env_id)
    base = DQNConfig.named(chosen["config"], **chosen["settings"])
    known = study.changed(base)
    same = 1 + (base.pair_cut in (0, 12))  # sets or compact, and whole or cut pairs
    assert len(known) == len(study.variants(base)) - same
    seen = [(config, reference) for _, config, reference in known.values()]
    assert all(seen.count(one) == 1 for one in seen)
    few = known["few large steps"][1]
    assert few.improvements == base.improvements // 4 and few.pairs == 4 * base.pairs
    assert all(config.improvements == 0 for name, (_, config, _) in known.items() if name.startswith("returns"))


def test_trains_once_and_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baselines.studies.ablation.index_policy", lambda problem: ablation_base(problem))
    monkeypatch.setattr("baselines.studies.ablation.RETURNS", {"improvements": 0, "total_decisions": 300})
    given = ["--overrides", json.dumps(TINY), "--episodes", "50", "--quiet", "--folder", str(tmp_path / "runs")]
    given += ["--variants", "recipe", "sets", "returns, no reference"]
    given += ["--csv", str(tmp_path / "a.csv"), "--markdown", str(tmp_path / "docs" / "a.md"), "--env-kwargs"]
    table = ablation.main(ablation.parse([*given, json.dumps(KWARGS)]))
    assert table.variant.tolist() == ["recipe", "sets", "returns, no reference"]
    assert (table.pairs > 0).tolist() == [True, True, False]
    assert np.isfinite(table[["joint_error", "percent", "percent_low", "percent_high"]].to_numpy()).all()
    page = (tmp_path / "docs" / "a.md").read_text()
    assert page.count("\n| ") == 5 and "50 episodes" in page and "python -m scripts.ablation" in page
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("finished.json")}
    assert len(stamps) == 3
    again = ablation.main(ablation.parse([*given, json.dumps(KWARGS)]))
    assert again.joint_error.tolist() == table.joint_error.tolist()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "nothing was trained again"
    ablation.main(ablation.parse([*given, json.dumps({**KWARGS, "horizon": 9})]))
    assert all(path.stat().st_mtime_ns > stamp for path, stamp in stamps.items()), "another problem is trained anew"
    with pytest.raises(ValueError, match=r"--variants: tall is none of this recipe's: recipe, sets"):
        ablation.main(ablation.parse([*given, json.dumps(KWARGS), "--variants", "tall"]))


def test_a_folder_with_other_files_is_not_emptied(tmp_path: Path) -> None:
    mine = tmp_path / "notes.txt"
    mine.write_text("mine")
    chosen = recipe("TwoDevices-v0")
    config = DQNConfig.named(chosen["config"], **{**chosen["settings"], **TINY})
    args = argparse.Namespace(seed=0, quiet=True, anew=True)
    with pytest.raises(ValueError, match="holds files, but no training; --folder names another place"):
        train_once(tmp_path, "aq_gym/TwoDevices-v0", config, args, name="x", seconds=1.0)
    assert mine.read_text() == "mine"


def test_an_interrupted_training_ends_the_study_and_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(training: Training, *given: object, quiet: bool) -> None:
        train(training, watch=lambda step: os.kill(os.getpid(), signal.SIGTERM))

    monkeypatch.setattr("baselines.studies.stored_trainings.follow", interrupt)
    chosen = recipe("TwoDevices-v0")
    config = DQNConfig.named(chosen["config"], **{**chosen["settings"], **TINY})
    args = argparse.Namespace(seed=0, quiet=True)
    with pytest.raises(KeyboardInterrupt):
        train_once(tmp_path, "aq_gym/TwoDevices-v0", config, args, name="x", seconds=60.0, **KWARGS)
    assert (tmp_path / CHECKPOINT).exists() and not (tmp_path / FINISHED).exists()


def ablation_base(problem: object) -> object:
    """Tuning an index policy takes a minute; greedy sensing will do."""
    from baselines.heuristics.index_tuning import best_threshold

    return best_threshold(problem, decisions=20_000)  # type: ignore[arg-type]
