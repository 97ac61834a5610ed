"""The study of what sensing is worth, on two short days."""

from pathlib import Path

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
