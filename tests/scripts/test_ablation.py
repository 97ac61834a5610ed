"""The door to the ablation, with tiny settings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents import DQNConfig
from baselines.dqn import recipe
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


def test_every_variant_is_a_valid_change_of_the_recipe() -> None:
    chosen = recipe("MultiDevice-v0")
    base = DQNConfig.named(chosen["config"], **chosen["settings"])
    for name, (what, changes) in ablation.VARIANTS.items():
        own = {key: value for key, value in changes.items() if key != "reference"}
        assert what and (base.replace(**own) != base or name == "recipe" or not changes.get("reference", True)), name


def test_trains_once_and_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.ablation.index_policy", lambda problem: ablation_base(problem))
    given = ["--env-kwargs", json.dumps(KWARGS), "--overrides", json.dumps(TINY), "--episodes", "50", "--quiet"]
    given += ["--variants", "recipe", "sets", "returns, no reference", "--folder", str(tmp_path / "runs")]
    given += ["--csv", str(tmp_path / "a.csv"), "--markdown", str(tmp_path / "docs" / "a.md")]
    table = ablation.main(ablation.parse(given))
    assert table.variant.tolist() == ["recipe", "sets", "returns, no reference"]
    assert np.isfinite(table[["joint_error", "percent", "percent_low", "percent_high"]].to_numpy()).all()
    page = (tmp_path / "docs" / "a.md").read_text()
    assert page.count("\n| ") == 5 and "50 episodes" in page and "python -m scripts.ablation" in page
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("finished.json")}
    assert len(stamps) == 3
    again = ablation.main(ablation.parse(given))
    assert again.joint_error.tolist() == table.joint_error.tolist()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "nothing was trained again"


def ablation_base(problem: object) -> object:
    """Tuning an index policy takes a minute; greedy sensing will do."""
    from baselines.index import best_threshold

    return best_threshold(problem, decisions=20_000)  # type: ignore[arg-type]
