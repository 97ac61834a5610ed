"""The study of what sensing is worth, on two short days."""

import dataclasses
from pathlib import Path

import pytest

from aq_gym import SensorNetwork
from aq_gym.problem import Problem
from baselines.studies import sensing
from baselines.studies.sensing import POLICIES, draw, measure, table_of


def test_more_energy_is_less_error_and_the_page_says_it(tmp_path: Path) -> None:
    table = measure("pku2018", [0, 15], [1], [2, 8], [0.0, 0.5], 4)
    assert list(table.policy) == list(POLICIES) * 4
    for _, part in table.groupby(["policy", "loss"]):
        few, many = part.sort_values("sensings").joint_error
        assert many < few
    text = table_of(table)
    assert text.count("\n") == 6 and "| 1 | 50 | 8 |" in text
    draw(table, tmp_path / "new" / "sensing.png")
    assert (tmp_path / "new" / "sensing.png").stat().st_size > 10_000


@pytest.mark.parametrize(("minutes", "slots"), [(10.0, 144), (60.0, 24)])
def test_a_day_has_as_many_slots_as_the_network_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, slots: int
) -> None:
    played: list[Problem] = []
    found = measure("pku2018", [0], [1], [12], [0.0], 2).drop(columns=["days", "loss", "sensings", "episodes"])
    monkeypatch.setattr(sensing, "build_policy", lambda word, problem: (None, 0.0))
    monkeypatch.setattr(sensing, "compare", lambda policies, problem, *_, **__: played.append(problem) or found)
    dataclasses.replace(SensorNetwork.load("pku2018"), slot_minutes=minutes).save(tmp_path / "town.npz")
    measure(str(tmp_path / "town.npz"), [0], [2], [3], [0.0], 2)
    problem = played[0]
    assert (problem.horizon, problem.energy_budget, problem.max_sleep) == (2 * slots, 6, slots)
