"""docs/model.md says where each equation is computed: every name there can be imported."""

import pkgutil
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs/model.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("| equation | computed in |")[2]
NAMES = sorted(set(re.findall(r"`([a-z_]+\.[\w.]+)`", TABLE)))


@pytest.mark.parametrize("name", NAMES)
def test_the_name_exists(name: str) -> None:
    assert callable(pkgutil.resolve_name(name))


def test_every_row_names_code() -> None:
    rows = [line.split("|") for line in TABLE.splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    for row in rows[1:]:
        assert re.search(r"`[\w.]+`", row[2]), row
