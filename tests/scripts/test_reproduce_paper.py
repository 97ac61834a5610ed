"""The paper's figures in tiny versions: files, verdicts, report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from baselines.studies.paper import figure_08, figure_12
from baselines.studies.paper.report import Claim, Context, Figure
from scripts import reproduce_paper


def run(folder: Path, *arguments: str) -> None:
    reproduce_paper.main(reproduce_paper.parse(["--quick", "--quiet", "--folder", str(folder), *arguments]))


def check(folder: Path, number: int, more: tuple[str, ...] = ()) -> dict[str, Any]:
    stem = f"figure_{number:02d}"
    card: dict[str, Any] = json.loads((folder / f"{stem}.json").read_text())
    assert card["files"] == [f"{stem}.csv", *(f"{stem}_{name}.csv" for name in more)]
    for file in card["files"]:
        assert len(pd.read_csv(folder / file))
    assert (folder / f"{stem}.png").read_bytes().startswith(b"\x89PNG")
    assert card["claims"] and all(x["verdict"] in ("agrees", "differs") and x["measured"] for x in card["claims"])
    assert f'id="figure-{number}"' in (folder / "report.html").read_text()
    return card


def test_figures_8_and_9_from_the_real_readings(tmp_path: Path, pku_data: Path) -> None:
    run(tmp_path, "--figure", "8", "9")
    card = check(tmp_path, 8, ("statistics",))
    verdicts = [x["verdict"] for x in card["claims"]]
    assert verdicts == ["agrees", "differs", "differs", "differs"]
    table = pd.read_csv(tmp_path / "figure_08_statistics.csv").set_index("panel")
    assert table.standard_deviation["measurement"] ** 2 == pytest.approx(0.006407624, rel=1e-6)
    card = check(tmp_path, 9, ("windows",))
    trace = pd.read_csv(tmp_path / "figure_09.csv")
    assert trace.optimum.sum() <= 4 and trace.uniform.sum() == 4 and len(trace) == 25


def test_without_the_readings_their_figures_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AQ_GYM_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(reproduce_paper, "FIGURES", {8: figure_08.make, 12: figure_12.make})
    run(tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert "figure 8 is left out: " in said and "is missing" in said
    page = (tmp_path / "report.html").read_text()
    assert "Not made here: figure 8." in page and 'id="figure-12"' in page
    with pytest.raises(FileNotFoundError, match="is missing: fetch it by"):
        run(tmp_path, "--figure", "8")


@pytest.mark.slow
def test_figures_of_learning_and_placement(tmp_path: Path) -> None:
    run(tmp_path, "--figure", "10", "11", "12", "13")
    check(tmp_path, 10)
    check(tmp_path, 11, ("scores", "sizes"))
    card = check(tmp_path, 12, ("ends",))
    assert card["claims"][3]["verdict"] == "agrees"
    check(tmp_path, 13)
    ends = pd.read_csv(tmp_path / "figure_12_ends.csv")
    assert (ends.gap_percent >= 0).all() and set(ends.start) == {"clusters", "random"}
    sizes = pd.read_csv(tmp_path / "figure_11_sizes.csv")
    assert len(sizes) == 2 * 2 * 2


def test_what_is_done_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproduce_paper, "FIGURES", {12: figure_12.make})
    run(tmp_path, "--figure", "12")
    before = (tmp_path / "figure_12.json").stat().st_mtime_ns
    run(tmp_path)
    assert "figure 12: there already" in capsys.readouterr().out
    assert (tmp_path / "figure_12.json").stat().st_mtime_ns == before
    run(tmp_path, "--seed", "1")
    assert "figure 12: there already" not in capsys.readouterr().out
    assert (tmp_path / "figure_12.json").stat().st_mtime_ns != before
    assert "Tiny sizes: no results." in (tmp_path / "report.html").read_text()
    run(tmp_path, "--markdown", str(tmp_path / "paper.md"))
    page = (tmp_path / "paper.md").read_text()
    assert "## Figure 12. " in page and page.count("| agrees |") + page.count("| differs |") == 4


def test_damaged_and_incomplete_figures_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reproduce_paper, "FIGURES", {12: figure_12.make})
    card, picture = tmp_path / "figure_12.json", tmp_path / "figure_12.png"
    run(tmp_path)
    for damage in (lambda: card.write_text("{"), lambda: card.write_text("[1]"), picture.unlink):
        damage()
        run(tmp_path)
        assert "there already" not in capsys.readouterr().out
        check(tmp_path, 12, ("ends",))


def test_an_interruption_leaves_the_finished_figures_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(context: Context) -> Figure:
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce_paper, "FIGURES", {12: figure_12.make, 13: interrupted})
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    check(tmp_path, 12, ("ends",))
    assert "Not made here: figure 13." in (tmp_path / "report.html").read_text()


def test_a_gaussian_is_called_one() -> None:
    rng = np.random.default_rng(0)
    assert figure_08.is_gaussian(figure_08.statistics("x", rng.normal(3.0, 2.0, 20_000)))
    assert not figure_08.is_gaussian(figure_08.statistics("x", stats.t(4).rvs(20_000, random_state=rng)))
    assert not figure_08.is_gaussian(figure_08.statistics("x", rng.exponential(size=20_000)))


def test_verdicts_and_sizes() -> None:
    assert (Claim("a", "b", True).verdict, Claim("a", "b", False).verdict) == ("agrees", "differs")
    assert Context(quick=True).pick(1, 2) == 2 and Context().pick(1, 2) == 1
