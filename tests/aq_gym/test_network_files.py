"""Network files: written alike everywhere, read back, refused when they are damaged or foreign."""

import dataclasses
import hashlib
import io
import json
import os
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_gym import SensorNetwork
from aq_gym.network import INSTANCES, round_significant


def parts() -> dict[str, Any]:
    """The fields of a network of 3 locations and 2 levels."""
    network = SensorNetwork.synthetic(3, 0).coarsen(2)
    return {field.name: getattr(network, field.name) for field in dataclasses.fields(network)} | {"name": "tiny"}


def test_save_and_load(tmp_path: Path) -> None:
    for change in ({}, {"coordinates": None}):
        network = SensorNetwork(**{**parts(), **change})
        path = network.save(tmp_path / "deep" / "tiny.npz", {"commit": "abc"})
        assert SensorNetwork.load(path) == network
        assert SensorNetwork.load(str(path)) == network
        card = json.loads(path.with_suffix(".json").read_text("utf-8"))
        assert card["commit"] == "abc"
        assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert sorted(p.name for p in path.parent.iterdir()) == ["tiny.json", "tiny.npz"]
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        network.save(tmp_path / "tiny.txt")


def test_same_network_same_bytes(tmp_path: Path) -> None:
    first = SensorNetwork(**parts()).save(tmp_path / "a.npz").read_bytes()
    fortran = {k: np.asfortranarray(v) if isinstance(v, np.ndarray) else v for k, v in parts().items()}
    assert SensorNetwork(**fortran).save(tmp_path / "b.npz").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        entries = archive.infolist()
    assert [e.filename for e in entries] == sorted(e.filename for e in entries)
    assert {(e.date_time, e.compress_type) for e in entries} == {((1980, 1, 1, 0, 0, 0), zipfile.ZIP_STORED)}


@pytest.mark.parametrize(
    "name",
    ["atlantis", "pku2018/6", "", "PKU2018", 7, None, "a" * 5000, "a\0b", "synthetic-٣-0", "synthetic-3-" + "9" * 5000],
)
def test_unknown_name_lists_the_known(name: Any) -> None:
    with pytest.raises(ValueError, match="pku2018, pku2018-spring, pku2018-summer"):
        SensorNetwork.load(name)


def test_the_length_of_a_slot_is_stored_and_said(tmp_path: Path) -> None:
    hourly, pku = dataclasses.replace(SensorNetwork(**parts()), slot_minutes=60), SensorNetwork.load("pku2018")
    path = hourly.save(tmp_path / "hourly.npz")
    assert SensorNetwork.load(path) == hourly and hourly.slot_minutes == 60.0
    assert json.loads(path.with_suffix(".json").read_text("utf-8"))["slot_minutes"] == 60.0
    assert "slot: 60 minutes" in hourly.describe() and "slot_minutes=60" in repr(hourly)
    assert hourly.coarsen(1).slot_minutes == 60.0 and hourly != SensorNetwork(**parts())
    assert pku.slot_minutes == 10.0 and "slot: 10 minutes" in pku.describe()
    with zipfile.ZipFile(INSTANCES / "pku2018.npz") as archive:  # files without it stay as they are
        assert "slot_minutes.npy" not in archive.namelist()


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no network file at .*x\.npz"):
        SensorNetwork.load(tmp_path / "x.npz")
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(ValueError, match="is a folder: give the path"):
            SensorNetwork.load(folder)
    network = SensorNetwork(**parts())
    content = network.save(tmp_path / "whole.npz").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content), daemon=True).start()
    assert SensorNetwork.load(tmp_path / "pipe") == network
    (tmp_path / "taken.npz").mkdir()
    with pytest.raises(OSError, match=r"taken\.npz"):
        network.save(tmp_path / "taken.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipe", "taken.npz", "whole.json", "whole.npz"]


def rezipped(whole: bytes, change: dict[str, bytes]) -> bytes:
    """An archive with the content of some members changed, its checksums right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, change.get(entry, old.read(entry)))
    return out.getvalue()


def npy(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


WHOLE = dataclasses.replace(SensorNetwork(**parts()), slot_minutes=60)


def test_damaged_files(tmp_path: Path) -> None:
    path = WHOLE.save(tmp_path / "x.npz")
    whole = path.read_bytes()
    at = whole.index(b"PK\x01\x02") + 10
    flipped = bytearray(whole)
    flipped[whole.index(b"levels.npy") + 200] ^= 0xFF
    shape = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%s,)}\n"
    for content in (
        *(b"", b"hello", whole[: len(whole) // 2], whole[:-30], bytes(flipped)),
        whole[:at] + b"\x55\x00" + whole[at + 2 :],  # an unknown compression
        *(rezipped(whole, {member: b"hello"}) for member in ("format_version.npy", "name.npy", "levels.npy")),
        rezipped(whole, {"levels.npy": npy(b"{" * 200 + b"\n")}),
        *(rezipped(whole, {"levels.npy": npy(shape % size)}) for size in (b"True", b"-1", b"10000000000000")),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x\.npz.*SensorNetwork\.save"):
            SensorNetwork.load(path)


def test_mutations_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused by a ValueError that names the file, or a valid network: whose errors are finite."""
    path = WHOLE.save(tmp_path / "x.npz")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    taken = 0
    for k in range(500):
        name = str(rng.choice(sorted(members)))
        held = mutated(whole, rng) if k % 2 else rezipped(whole, {name: mutated(members[name], rng)})
        monkeypatch.setattr(Path, "read_bytes", lambda self, held=held: held)  # writing files takes longer than reading
        try:
            network = SensorNetwork.load(path)
        except ValueError as error:
            assert str(path) in str(error)
            continue
        taken += 1
        for how in ("paper", "level-aware") if network.level_model is not None else ("paper",):
            level = network.levels[-1]
            assert np.isfinite(network.joint_error([0, 1], [0, 3], [level, level], level, inference=how)).all()
    assert 5 < taken < 250


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, left out or repeated."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 3))):
        at, length = int(rng.integers(len(changed) + 1)), int(rng.integers(1, 9))
        part = (rng.bytes(length), b"", bytes(changed[at : at + length]) * 2)[int(rng.choice(3, p=[0.8, 0.1, 0.1]))]
        changed[at : at + length] = part
    return bytes(changed)


def test_foreign_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    arrays = {"format_version": np.array(1), **{k: np.asarray(v) for k, v in parts().items() if v is not None}}
    np.savez(path, **arrays)
    assert SensorNetwork.load(path) == SensorNetwork(**parts())
    for change, message in (
        ({"start": None}, "it lacks start"),
        ({"format_version": None}, "it lacks format_version"),
        ({"format_version": np.array(99)}, "format version 99: this aq_gym reads 1"),
        ({"extra": np.zeros(2)}, "unknown members extra"),
        ({"start": np.array([0.5, 0.4])}, "start sums to 0.9"),
        ({"name": np.array(3)}, "name must be a string"),
        ({"levels": np.array([5.0, {}], dtype=object)}, "cannot be read as a network"),
        ({"slot_minutes": np.array(-1.0)}, "slot_minutes is .*must be from"),
    ):
        np.savez(path, **{k: v for k, v in {**arrays, **change}.items() if v is not None})
        with pytest.raises(ValueError, match=message) as caught:
            SensorNetwork.load(path)
        assert "x.npz" in str(caught.value)


@given(st.floats(-1e9, 1e9).filter(lambda x: x == 0.0 or abs(x) > 1e-9))
@settings(max_examples=300)
def test_round_significant_is_the_decimal_rounding(x: float) -> None:
    got = float(round_significant(x))
    unit = 10.0 ** (int(f"{x:.11e}".partition("e")[2]) - 11)  # of the twelfth digit; a tie may go either way
    assert abs(got - x) <= 0.5 * unit + 4.0 * np.spacing(abs(x))
    assert float(f"{got:.11e}") == got
    assert len(f"{got:.15g}".replace("-", "").split("e")[0].replace(".", "").strip("0")) <= 12
    assert float(round_significant(got)) == got
    assert float(round_significant(-x)) == -got or got == 0.0
