"""Versions: written whole, checked when read, promoted and rolled back by replacing one file."""

from pathlib import Path

import pytest

from aq_gym.service.artefacts import CURRENT, Artefacts


def add(artefacts: Artefacts, content: str) -> str:
    with artefacts.drafting() as draft:
        (draft / "network.npz").write_text(content)
        return artefacts.add(draft, {"scores": {}})


def test_versions_are_promoted_and_rolled_back(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path / "models")
    assert artefacts.current() is None and not artefacts.promoted().files
    first = add(artefacts, "one")
    assert artefacts.current() is None, "not served before it is promoted"
    artefacts.promote(first)
    second = add(artefacts, "two")
    artefacts.promote(second)
    files = artefacts.promoted().files
    assert list(files) == ["network.npz"] and files["network.npz"].read_text() == "two"
    assert (tmp_path / "models" / CURRENT).read_text() == "0002\n"
    assert artefacts.manifest(second)["parent"] == first and artefacts.manifest(first)["parent"] is None
    assert artefacts.rollback() == first and artefacts.current() == first
    third = add(artefacts, "three")
    assert third == "0003" and artefacts.manifest(third)["parent"] == first
    assert artefacts.rollback() is None and artefacts.current() is None
    with pytest.raises(ValueError, match="no version is promoted"):
        artefacts.rollback()
    assert artefacts.versions() == ["0001", "0002", "0003"]


def test_a_draft_that_fails_leaves_nothing(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    artefacts.promote(add(artefacts, "one"))
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), artefacts.drafting() as draft:
        (draft / "network.npz").write_text("half")
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.iterdir()) == before and artefacts.current() == "0001"


def test_damage_is_refused(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    artefacts.promote(add(artefacts, "one"))
    (tmp_path / "0001" / "network.npz").write_text("other")
    with pytest.raises(ValueError, match="was changed since version 0001"):
        artefacts.promoted()
    (tmp_path / CURRENT).write_text("0007\n")
    with pytest.raises(ValueError, match="expected one of 0001, got '0007'"):
        artefacts.current()
    with pytest.raises(ValueError, match="missing"):
        artefacts.promote("0009")
