"""The benchmark with tiny settings: tables, files, what --resume keeps and what Ctrl-C leaves."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("stable_baselines3")

from agents import TensorBoardLogger
from baselines.evaluation.comparing import COLUMNS, regret
from baselines.studies import benchmark as jobs
from baselines.studies import benchmark_run, provenance
from baselines.studies.benchmark import over_seeds
from baselines.studies.benchmark_plots import Curve, band, draw, draw_curves
from baselines.studies.benchmark_run import task_table
from scripts import benchmark, evaluate, readme_tables

TINY = '{"horizon": 8, "energy_budget": 2, "max_sleep": 5}'
FAST = [
    "--seconds",
    "1",
    "--scale",
    "0.0005",
    "--validations",
    "1",
    "--episodes",
    "40",
    "--env-kwargs",
    TINY,
    "--quiet",
]
YARDSTICKS = ["--yardsticks", "staggered", "random", "optimal"]


def rows(n: int = 3) -> pd.DataFrame:
    """A table as `evaluate_task` makes them."""
    error = np.linspace(5.0, 6.0, n)
    table = pd.DataFrame({"policy": ["staggered", "DQN", "optimal"][:n]})
    for name, values in {"joint_error": error, "difference": error - 5.0, "regret_percent": error - 4.0}.items():
        table[name], table[f"{name}_low"], table[f"{name}_high"] = values, values - 0.1, values + 0.1
    return table.assign(energy_used=2.0, forced=0.0, decisions_per_second=7.6e5, training_seconds=1.0)


@pytest.mark.slow
@pytest.mark.xdist_group("sb3")
def test_all_of_it_then_resume(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    given = [*FAST, *YARDSTICKS, "--ids", "SingleDevice-v0", "--learners", "dqn", "sb3-ppo", "--folder", str(folder)]
    given += ["--training-seeds", "2", "--processes", "1"]
    table = benchmark.main(benchmark.parse(given))
    assert table.policy.tolist() == ["staggered", "random", "optimal", "DQN", "SB3 PPO"]
    assert (table.env_id == "SingleDevice-v0").all() and (table.episodes == 40).all()
    assert table.difference[0] == 0 and table.regret_percent[2] == 0
    errors = table.joint_error
    assert table.regret_percent.to_numpy() == pytest.approx(100 * (errors / errors[2] - 1).to_numpy())
    assert (
        (table.regret_percent_low <= table.regret_percent) & (table.regret_percent <= table.regret_percent_high)
    ).all()
    assert (table.training_seconds[3:] > 0).all()
    written = pd.read_csv(folder / "benchmark.csv")
    assert {*COLUMNS, "env_id", "seed", "commit", "dirty", "requirements_lock_sha256", "cpu", "torch"} <= {*written}
    assert written.joint_error.to_numpy() == pytest.approx(errors.to_numpy(), rel=1e-15)
    assert " --training-seeds 2" in written.command[0] and str(folder) not in written.command[0]
    assert (folder / "benchmark.png").read_bytes().startswith(b"\x89PNG") and not list(folder.rglob(".*"))
    seeds = pd.read_csv(folder / "seeds.csv")
    assert seeds.policy.tolist() == ["DQN", "SB3 PPO"] and (seeds.seeds == 2).all()
    page = folder / "page.md"
    text = readme_tables.main(readme_tables.parse([str(folder / "benchmark.csv"), "--page", str(page)]))
    assert page.read_text(encoding="utf-8") == text and (folder / "page_curves.png").is_file()
    assert f"| {seeds.iqm[0]:.3f} [" in text and "on 2 training seeds" in text
    by_seed = [[float(x) for x in text.split()] for text in table.seed_errors[3:]]
    np.testing.assert_allclose(np.mean(by_seed, axis=1), errors[3:], atol=1e-5)
    np.testing.assert_allclose(seeds.iqm, np.mean(by_seed, axis=1))
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    for learner in ("dqn", "dqn-seed1", "sb3-ppo", "sb3-ppo-seed1"):
        assert list((folder / "SingleDevice-v0" / learner).glob("events.*")), "no TensorBoard run"
    assert "tensorboard --logdir" in capfd.readouterr().out

    with pytest.raises(ValueError, match="is not empty; add --resume"):
        benchmark.main(benchmark.parse(given))
    policy = folder / "SingleDevice-v0" / "sb3-ppo" / "model.zip"
    before = policy.stat().st_mtime_ns
    marker = folder / "SingleDevice-v0" / "dqn" / jobs.FINISHED
    marker.write_text(marker.read_text().replace('"seed": 0', '"seed": 1', 1))  # another training's
    # The first run's jobs had a process of their own; these run here.
    monkeypatch.setattr(benchmark_run, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    again = benchmark.main(benchmark.parse([*given, "--resume"]))
    printed = capfd.readouterr().out
    for name in ("SB3 PPO", "SB3 PPO, seed 1", "DQN, seed 1"):
        assert f"{name} is trained already" in printed and f": {name} trained\n" not in printed
    assert ": DQN trained\n" in printed and "over 2 training seeds" in printed
    assert policy.stat().st_mtime_ns == before
    kept = ["policy", "joint_error", "difference", "regret_percent", "energy_used"]
    pd.testing.assert_frame_equal(again[again.policy != "DQN"][kept], table[table.policy != "DQN"][kept])

    dqn = ["--dqn", str(folder / "SingleDevice-v0" / "dqn"), "--policies", "staggered", "--episodes", "40"]
    one = evaluate.main(evaluate.parse([*dqn, "--env", "SingleDevice-v0", "--env-kwargs", TINY]))
    assert one.policy.tolist() == ["staggered", "dqn SingleDevice-v0/dqn"]
    assert one.joint_error[1] == pytest.approx(
        float(again.seed_errors[again.policy == "DQN"].item().split()[0]), abs=1e-6
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_interrupt_leaves_what_was_finished(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    csv = b"what an earlier task left\n"
    (folder / "benchmark.csv").write_bytes(csv)
    hour = ["--seconds", "3600", "--scale", "1000", "--learners", "dqn", "--ids", "TwoDevices-v0", "--resume"]
    command = [sys.executable, "-m", "scripts.benchmark", *FAST, *hour, "--folder", str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it, and so
    try:  # would the command
        process = subprocess.Popen(command, cwd=root, start_new_session=True, **pipes)
    finally:
        signal.signal(signal.SIGINT, heard)
    try:
        deadline = time.monotonic() + 200
        while not list((folder / "TwoDevices-v0").glob("dqn/events.*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and "interrupted: " in printed and "--resume --folder" in printed
    assert "Traceback" not in printed and printed.count("interrupted") == 1, printed
    assert (folder / "benchmark.csv").read_bytes() == csv and not list(folder.rglob(".*"))
    assert not (folder / "TwoDevices-v0" / "dqn" / jobs.FINISHED).exists()


def test_an_error_in_a_job_is_raised(tmp_path: Path) -> None:
    given = [*FAST, "--ids", "JointDevices-v0", "--learners", "sb3-dqn", "--folder", str(tmp_path), "--processes", "1"]
    with pytest.raises(ValueError, match="dqn cannot decide for all devices at once"):
        benchmark.main(benchmark.parse(given))
    assert not (tmp_path / "benchmark.csv").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--ids", "NoDevice-v0"], "no registered id"),
        (["--env-kwargs", '{"horizon": 0}'], "horizon"),
        (["--resume"], "there is no .*-full to go on with"),
    ],
)
def test_nonsense_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        benchmark.main(benchmark.parse(given))
    assert not list(tmp_path.iterdir())


def test_numbers_must_be_positive(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--seconds", "--scale"):
        with pytest.raises(SystemExit):
            benchmark.parse([option, "0"])
        assert "above 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        benchmark.parse(["--episodes", "0"])
    assert "--episodes: expected at least 1, got 0" in capsys.readouterr().err


def test_resume_continues_the_latest_of_its_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("2001-01-01-000000-full", "2002-01-01-000000-full", "2003-01-01-000000-quick"):
        (benchmark_run.RUNS / name).mkdir(parents=True)
    origin = provenance.provenance()
    full, quick = (benchmark_run.make_plan(benchmark.parse(["--resume", *more]), origin) for more in ([], ["--quick"]))
    assert full.folder.name == "2002-01-01-000000-full" and quick.folder.name == "2003-01-01-000000-quick"
    assert quick.seconds < full.seconds and quick.scale < full.scale and quick.episodes == full.episodes == 2000


def test_settings_tell_trainings_apart(tmp_path: Path) -> None:
    def settings(*given: str, learner: str = "dqn", env_id: str = "TwoDevices-v0", **origin: str) -> str:
        code = {"commit": "a", "dirty": False, "sources_sha256": "b", **origin}
        plan = benchmark_run.make_plan(benchmark.parse(["--folder", str(tmp_path), *given]), code)
        return json.dumps(jobs.settings(plan, env_id, learner))

    others = [
        settings("--seed", "1"),
        settings("--seconds", "7"),
        settings("--scale", "0.5"),
        settings("--env-kwargs", TINY),
        settings(learner="dqn-seed3"),
        settings(learner="sb3-ppo"),
        settings(learner="sb3-ppo", env_id="MultiDevice-v0"),
        settings(commit="c"),
        settings(sources_sha256="c"),
    ]
    assert settings() == settings("--episodes", "9") == settings("--training-seeds", "3")
    assert len({settings(), *others}) == 1 + len(others)


def test_the_table_is_sorted_and_tells_regret_only_where_it_is_known() -> None:
    def printed(table: pd.DataFrame) -> str:
        return task_table(table, "a task", ["index: not tuned for it"])

    shuffled = rows().iloc[[2, 0, 1]].reset_index(drop=True)  # optimal, the worst here, is now the reference
    text = printed(shuffled)
    assert text.index("staggered") < text.index("DQN") < text.rindex("optimal") and "differences to optimal" in text
    assert "5.50" in text and "5.40, 5.60" in text and "760k" in text and "index: not tuned for it" in text
    assert "regret" in text and "regret" not in printed(rows().assign(regret_percent=math.nan))


def test_tables_fit_80_columns_and_cut_no_name() -> None:
    names = ["SB3 MASKABLE PPO", "a name that is far too long for a column of its own", "x"]
    text = task_table(rows().assign(policy=names), "a task", [])
    assert max(map(len, text.splitlines())) <= 80 and all(name in text for name in names)


def test_curves_of_a_single_validation_are_drawn_and_of_none_are_not(tmp_path: Path) -> None:
    origin = provenance.provenance()
    plan = benchmark_run.make_plan(benchmark.parse(["--folder", str(tmp_path)]), origin)
    runs = {"SingleDevice-v0": {"dqn": ["dqn"]}, "TwoDevices-v0": {"dqn": ["dqn"]}}
    for folder in ("SingleDevice-v0/dqn", "TwoDevices-v0/dqn"):
        (tmp_path / folder).mkdir(parents=True)
    assert draw_curves(plan, runs) is None and not list(tmp_path.glob("*.png"))
    with TensorBoardLogger(tmp_path / "SingleDevice-v0" / "dqn") as log:
        log.scalar("eval/joint_error", 12.0, 100)
        log.scalar("time/training_seconds", 3.0, 100)
    path = draw_curves(plan, runs)
    assert path is not None
    from matplotlib.image import imread

    height, width, _ = imread(path).shape
    assert width < height, "a column for the task that has a curve, none for the other"


def test_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    unknown = rows(2).assign(env_id="b", regret_percent=math.nan, regret_percent_low=math.nan)
    draw(path, pd.concat([rows().assign(env_id="a"), unknown]), "two tasks")
    from matplotlib.image import imread

    height, width, _ = imread(path).shape
    assert width > 1.5 * height and not list(tmp_path.glob(".*"))


def seeded(errors: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"policy": ["staggered", *errors], "joint_error": 2.0, "seed_errors": ["", *errors.values()]})


def test_seeds_are_summarised_task_by_task_and_together() -> None:
    one = seeded({"DQN": "1 2 3 4 90", "SB3 PPO": "5 5 5 5 5"}).assign(env_id="a")
    two = seeded({"DQN": "8 8 8 8 8", "SB3 PPO": "6 6 6 6 6"}).assign(env_id="b")
    found = over_seeds(pd.concat([one, two])).set_index(["policy", "env_id"])
    row = found.loc[("DQN", "a")]
    assert (row.iqm, row.lowest, row.highest) == (3.0, 1.0, 90.0) and row.iqm_low < 3.0 < row.iqm_high
    assert tuple(found.loc[("SB3 PPO", "a")][["iqm", "iqm_low", "iqm_high"]]) == (5.0, 5.0, 5.0)
    assert found.loc[("SB3 PPO", "all")].iqm == 2.75, "the middle of five 2.5 and five 3.0"
    assert found.loc[("DQN", "all")].iqm_low < found.loc[("DQN", "all")].iqm < found.loc[("DQN", "all")].iqm_high
    alone = over_seeds(seeded({"DQN": "7"}).assign(env_id="a"))
    assert alone.iqm.item() == 7.0 and math.isnan(alone.iqm_low.item()) and "all" not in set(alone.env_id)


def test_a_band_spans_what_all_curves_know() -> None:
    steps = np.arange(0.0, 110.0, 10.0)
    curves = [Curve(steps, 2 * steps, 5 + 0 * steps), Curve(steps[2:], steps[2:], 3 + steps[2:] / 10)]
    at, mean, low, high = band(curves, "decisions", 9)
    np.testing.assert_allclose(at, np.arange(20.0, 110.0, 10.0))
    np.testing.assert_allclose(mean, (5 + 3 + at / 10) / 2)
    np.testing.assert_allclose(low, np.minimum(5, 3 + at / 10))
    np.testing.assert_allclose(high, np.maximum(5, 3 + at / 10))
    assert band(curves, "seconds")[0][-1] == 100.0
    assert band([*curves, Curve(*np.zeros((3, 0)))], "decisions") is None and band([], "seconds") is None
    assert band([curves[0], Curve(*(np.array([500.0]),) * 3)], "decisions") is None


def test_regret_is_paired() -> None:
    rng = np.random.default_rng(0)
    optimal = rng.uniform(5, 50, 300)
    mean, low, high = regret(1.02 * optimal, optimal, 0)
    assert mean == pytest.approx(2) and low == pytest.approx(2) and high == pytest.approx(2)
    mean, low, high = regret(optimal + rng.normal(1.0, 0.1, 300), optimal, 0)
    assert low < mean < high < low + 1.5
    assert regret(optimal, optimal, 0) == (0.0, 0.0, 0.0)
    assert math.isnan(regret(optimal[:1] + 1, optimal[:1], 0)[1])


def test_provenance(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = provenance.provenance()
    assert found["requirements_lock_sha256"] == hashlib.sha256((root / "requirements.lock").read_bytes()).hexdigest()
    assert found["cpu"] and found["cores"] >= 1 and found["numpy"] == np.__version__
    if found["commit"] is not None:
        assert len(found["commit"]) == 40 and found["dirty"] in (True, False)
    assert provenance.sources() == found["sources_sha256"]
    (tmp_path / "agents").mkdir()
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    empty = provenance.sources()
    (tmp_path / "agents" / "new.py").touch()
    assert provenance.sources() != empty
