"""SensorNetwork: reference values, validation, files, coarsening and synthetic networks."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_gym import SensorNetwork
from aq_gym.network import INSTANCES, bundled_names, round_significant

BUNDLED = ["pku2018", "pku2018-spring", "pku2018-summer"]


@pytest.fixture(scope="module")
def pku() -> SensorNetwork:
    return SensorNetwork.load("pku2018")


def parts() -> dict[str, Any]:
    """A valid network of 3 locations and 2 levels."""
    return {
        "measurement_variance": 0.01,
        "temporal_variance": 4.0,
        "mean_relation": np.array([[0.0, 0.1, 0.2], [-0.1, 0.0, 0.1], [-0.2, -0.1, 0.0]]),
        "variance_relation": np.full((3, 3), 0.02) - 0.02 * np.eye(3),
        "levels": np.array([5.0, 15.0]),
        "transition": np.array([[0.75, 0.25], [0.5, 0.5]]),
        "start": np.array([0.6, 0.4]),
        "coordinates": np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 20.0]]),
        "name": "tiny",
    }


# ------------------------------------------------------------------------------------------- bundled networks


def test_reference_values(pku: SensorNetwork) -> None:
    off = ~np.eye(30, dtype=bool)
    assert pku.n_locations == 30
    assert pku.n_levels == 47
    assert pku.measurement_variance == pytest.approx(0.006407624097265345, rel=1e-11)
    assert pku.temporal_variance == pytest.approx(22.38749941976512, rel=1e-11)
    assert pku.mean_relation.max() == pytest.approx(0.14486832829245766, rel=1e-11)
    assert pku.variance_relation[off].min() == pytest.approx(0.0015669606682049819, rel=1e-11)
    assert pku.variance_relation.max() == pytest.approx(0.007029930648721169, rel=1e-11)
    np.testing.assert_array_equal(pku.levels, 5.0 + 10.0 * np.arange(47))
    assert SensorNetwork.load("pku2018-spring").temporal_variance == pytest.approx(22.05030169683635, rel=1e-11)
    assert SensorNetwork.load("pku2018-summer").temporal_variance == pytest.approx(22.67956802956803, rel=1e-11)


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_network_and_card(name: str) -> None:
    network = SensorNetwork.load(name)
    assert network.name == name
    np.testing.assert_array_equal(network.mean_relation, -network.mean_relation.T)
    np.testing.assert_array_equal(network.variance_relation, network.variance_relation.T)
    assert np.abs(network.transition.sum(axis=1) - 1.0).max() < 1e-12
    assert abs(network.start.sum() - 1.0) < 1e-12
    for field in ("mean_relation", "variance_relation", "coordinates"):
        np.testing.assert_array_equal(round_significant(getattr(network, field)), getattr(network, field))
    card = json.loads((INSTANCES / f"{name}.json").read_text("utf-8"))
    assert card["sha256"] == hashlib.sha256((INSTANCES / f"{name}.npz").read_bytes()).hexdigest()
    assert {"name", "data", "options", "commit", "made_by"} <= set(card)


def test_coordinates_are_metres(pku: SensorNetwork) -> None:
    assert pku.coordinates is not None
    assert pku.coordinates.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-6)
    # The south gate (27) is about 800 m south of the lake's north bank (13), and west of nothing much else.
    east, north = pku.coordinates[13] - pku.coordinates[27]
    assert 900.0 < north < 1050.0
    assert -250.0 < east < -100.0


def test_bundled_names_and_loading_twice() -> None:
    assert bundled_names() == BUNDLED
    assert SensorNetwork.load("pku2018") is SensorNetwork.load("pku2018")


def test_import_is_light() -> None:
    code = (
        "import sys; from aq_gym.network import SensorNetwork; SensorNetwork.load('pku2018').coarsen(6);"
        "print(*({'pandas', 'numba', 'scipy', 'torch', 'pooch', 'matplotlib'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == ""


# ------------------------------------------------------------------------------------------------ validation

BAD: list[tuple[dict[str, Any], str]] = [
    ({"measurement_variance": -0.1}, "measurement_variance must be positive"),
    ({"measurement_variance": 0.0}, "measurement_variance must be positive"),
    ({"measurement_variance": float("nan")}, "measurement_variance must be finite"),
    ({"measurement_variance": "0.1"}, "measurement_variance must be one real number"),
    ({"measurement_variance": True}, "measurement_variance must be one real number"),
    ({"temporal_variance": -1.0}, "temporal_variance must not be negative"),
    ({"temporal_variance": [1.0, 2.0]}, "temporal_variance must be one real number"),
    ({"mean_relation": np.zeros((3, 2))}, "mean_relation must be square"),
    ({"mean_relation": np.zeros(3)}, "mean_relation must have 2 dimension"),
    ({"mean_relation": np.eye(3)}, r"mean_relation\[0, 0\] is 1.0: the diagonal must be zero"),
    ({"mean_relation": np.full((3, 3), np.nan)}, r"mean_relation\[0, 0\] is nan"),
    ({"mean_relation": [[0, 1], [1, "x"]]}, "mean_relation must be an array of real numbers"),
    ({"mean_relation": [[0, 1], [1]]}, "mean_relation must be an array of real numbers"),
    ({"mean_relation": np.zeros((4, 4))}, r"variance_relation has shape \(3, 3\), mean_relation \(4, 4\)"),
    ({"mean_relation": np.zeros((1, 1))}, "at least 2"),
    ({"variance_relation": np.full((3, 3), 0.1)}, r"variance_relation\[0, 0\] is 0.1: the diagonal"),
    (
        {"variance_relation": np.array([[0, 1, 1], [1, 0, -2], [1, 1, 0]])},
        r"variance_relation\[1, 2\] is -2.0: a variance must not be negative",
    ),
    ({"levels": np.array([5.0, 5.0])}, r"levels\[1\] is 5.0 after 5.0: levels must strictly increase"),
    ({"levels": np.array([0.0, 5.0])}, r"levels\[0\] is 0.0: levels must be positive"),
    ({"levels": np.array([])}, "levels is empty"),
    ({"levels": np.array([5.0, np.inf])}, r"levels\[1\] is inf"),
    ({"levels": np.array([5.0, 15.0, 25.0])}, r"transition has shape \(2, 2\): with 3 levels it must be \(3, 3\)"),
    ({"transition": np.array([[0.75, 0.25], [0.5, 0.4]])}, "transition row 1 sums to 0.9: every row must sum to 1"),
    ({"transition": np.array([[1.25, -0.25], [0.5, 0.5]])}, r"transition\[0, 1\] is -0.25: a probability"),
    ({"transition": np.array([[np.nan, 1.0], [0.5, 0.5]])}, r"transition\[0, 0\] is nan"),
    ({"transition": np.ones((2, 3)) / 3}, "transition must be square"),
    ({"start": np.array([0.5, 0.4])}, "start sums to 0.9: it must sum to 1"),
    ({"start": np.array([1.5, -0.5])}, r"start\[1\] is -0.5: a probability"),
    ({"start": np.array([1.0])}, r"start has shape \(1,\): with 2 levels it must be \(2,\)"),
    ({"coordinates": np.zeros((2, 2))}, r"coordinates has shape \(2, 2\): it must be \(3, 2\)"),
    ({"coordinates": np.full((3, 2), np.inf)}, r"coordinates\[0, 0\] is inf"),
    ({"level_model": [0.4, 0.5]}, r"level_model has shape \(2,\)"),
    ({"level_model": [1.4, 0.5, 9.0, 0.2, 0.3, 18.0]}, "level_model: lasting is 1.4"),
    ({"level_model": [0.4, 0.5, 9.0, 0.6, 0.3, 18.0]}, "level_model: long is 0.6"),
    ({"level_model": [0.4, 0.5, 0.0, 0.2, 0.3, 18.0]}, "level_model: memory is 0.0"),
    ({"level_model": [0.4, 0.5, 9.0, 0.2, 0.0, 18.0]}, "level_model: floor is 0.0"),
    ({"level_model": [0.4, 0.5, 9.0, 0.2, 0.3, np.nan]}, r"level_model\[5\] is nan"),
    ({"name": ""}, "name must be a non-empty string"),
    ({"name": 3}, "name must be a non-empty string"),
    ({"name": "two\nlines"}, "name must be a non-empty string of printable characters"),
    ({"slot_minutes": 0.0}, "slot_minutes must be from"),
    ({"slot_minutes": True}, "slot_minutes must be one real number"),
    ({"levels": np.array([1e-20, 2e-20])}, r"levels\[0\] is 1e-20: levels must be from 1e-09 to 1e\+09"),
    ({"levels": np.array([5.0, 1e12])}, r"levels\[1\] is 1\d+.0: levels must be from"),
    ({"levels": np.array([1e-9, 1e9])}, "the highest must be at most 100000 times the lowest"),
    ({"measurement_variance": 1e30}, "measurement_variance must be from 1e-12 to 10000"),
    ({"measurement_variance": 1e-12, "temporal_variance": 1e6}, "temporal_variance is too large"),
    ({"measurement_variance": 1e-12, "levels": np.array([5.0, 5e3])}, "variance_relation is too large"),
    ({"temporal_variance": 1e30}, "temporal_variance is too large"),
    ({"mean_relation": [[0, 1e9], [0, 0]]}, r"mean_relation\[0, 1\] is 1\d+.0: at most 10000"),
    ({"variance_relation": [[0, 1e9], [0, 0]]}, r"variance_relation\[0, 1\] is 1\d+.0: at most 1e\+06"),
    ({"coordinates": np.full((3, 2), 1e30)}, r"coordinates\[0, 0\] is 1e\+30: at most 1e\+08 metres"),
    ({"transition": np.full((2, 2), 1e308)}, "transition row 0 sums to inf"),
    ({"levels": np.ma.array([5.0, 15.0], mask=[False, True])}, r"levels\[1\] is masked"),
    ({"levels": np.array([5.0, 15.0 + 1j])}, "levels must be an array of real numbers"),
    ({"levels": np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")}, "levels must be an array of real"),
    ({"start": np.array([True, False])}, "start must be an array of real numbers"),
    ({"temporal_variance": np.ma.masked}, "temporal_variance must be one real number"),
    ({"temporal_variance": np.longdouble("1e400")}, "temporal_variance must be finite"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_validation_names_the_field(change: dict[str, Any], message: str) -> None:
    SensorNetwork(**parts())
    with pytest.raises(ValueError, match=message):
        SensorNetwork(**{**parts(), **change})


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1e3, 1e6])
def test_other_units_are_no_mistake(pku: SensorNetwork, unit: float) -> None:
    model = None if pku.level_model is None else pku.level_model * [1, 1, 1, 1, unit**2, unit**2]
    changed = {"levels": pku.levels * unit, "temporal_variance": pku.temporal_variance * unit**2}
    scaled = dataclasses.replace(pku, **changed, level_model=model)
    for how in ("paper", "level-aware"):
        want = pku.joint_error([3, 7], [0, 5], [55.0, 80.0], 55.0, inference=how) * unit
        got = scaled.joint_error([3, 7], [0, 5], [55.0 * unit, 80.0 * unit], 55.0 * unit, inference=how)
        np.testing.assert_allclose(got, want, rtol=1e-9)


def test_arrays_are_read_only_copies() -> None:
    given_parts = parts()
    network = SensorNetwork(**given_parts)
    given_parts["levels"][0] = 1.0
    assert network.levels[0] == 5.0
    with pytest.raises(ValueError, match="read-only"):
        network.levels[0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.name = "other"  # type: ignore[misc]
    assert SensorNetwork(**{**parts(), "levels": [5, 15]}).levels.dtype == np.float64


def test_equality_hash_pickle_and_copies() -> None:
    network = SensorNetwork(**parts())
    assert network == SensorNetwork(**parts())
    assert hash(network) == hash(SensorNetwork(**parts()))
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network), copy.copy(network)):
        assert other == network
        assert not other.levels.flags.writeable
    for field, value in {
        "temporal_variance": 5.0,
        "name": "x",
        "coordinates": None,
        "start": np.array([0.5, 0.5]),
    }.items():
        assert dataclasses.replace(network, **{field: value}) != network, field
    assert network != "tiny"
    assert "tiny" in repr(network)
    assert len(repr(network)) < 250


# ----------------------------------------------------------------------------------------------------- files


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


def test_the_length_of_a_slot_is_stored_and_said(tmp_path: Path, pku: SensorNetwork) -> None:
    hourly = SensorNetwork(**parts(), slot_minutes=60)
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


WHOLE = SensorNetwork(**parts(), slot_minutes=60, level_model=[0.4, 0.5, 9.0, 0.2, 0.3, 18.0])


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


@pytest.mark.slow
def test_two_thousand_mutations_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused by a ValueError that names the file, or a valid network: whose errors are finite."""
    path = WHOLE.save(tmp_path / "x.npz")
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    taken = 0
    for k in range(2000):
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
    assert 20 < taken < 1000


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
    arrays = {"format_version": np.array(1), **{k: np.asarray(v) for k, v in parts().items()}}
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
        ({"slot_minutes": np.array(-1.0)}, "slot_minutes must be from"),
    ):
        np.savez(path, **{k: v for k, v in {**arrays, **change}.items() if v is not None})
        with pytest.raises(ValueError, match=message) as caught:
            SensorNetwork.load(path)
        assert "x.npz" in str(caught.value)


# -------------------------------------------------------------------------------------------------- coarsening


def test_coarsen_reference(pku: SensorNetwork) -> None:
    six = pku.coarsen(6)
    np.testing.assert_allclose(six.levels, [5.0, 18.8464, 39.4885, 64.2147, 98.0595, 194.8211], rtol=1e-5)
    assert six.name == "pku2018/6"
    assert six.n_levels == 6
    np.testing.assert_array_equal(six.mean_relation, pku.mean_relation)
    assert six.coordinates is not None


def test_coarsen_by_hand() -> None:
    network = SensorNetwork(
        **{
            **parts(),
            "levels": np.array([1.0, 2.0, 4.0, 8.0]),
            "start": np.array([0.1, 0.3, 0.2, 0.4]),
            "transition": np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5], [0.25, 0, 0, 0.75]]),
        }
    )
    two = network.coarsen(2)  # mid masses 0.05, 0.25, 0.5, 0.8: groups {0, 1}, {2, 3}
    np.testing.assert_allclose(two.start, [0.4, 0.6], rtol=1e-14)
    np.testing.assert_allclose(two.levels, [(0.1 + 0.6) / 0.4, (0.8 + 3.2) / 0.6], rtol=1e-14)
    np.testing.assert_allclose(two.transition, [[1.0, 0.0], [0.4 * 0.25 / 0.6, (0.2 + 0.4 * 0.75) / 0.6]], rtol=1e-14)
    lopsided = dataclasses.replace(network, start=np.array([0.8, 0.1, 0.05, 0.05]))  # mid mass of level 0: 0.4
    with pytest.raises(ValueError, match="n_levels=3 leaves group 0 of 'tiny' without probability"):
        lopsided.coarsen(3)


@pytest.mark.parametrize("n", [0, -1, 48, 2.0, "6", None, True])
def test_coarsen_refuses(pku: SensorNetwork, n: Any) -> None:
    with pytest.raises(ValueError, match="n_levels must be"):
        pku.coarsen(n)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 12), groups=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_coarsen_keeps_masses(seed: int, levels: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.dirichlet(np.ones(levels))
    chain = {
        "levels": np.cumsum(rng.uniform(0.5, 2.0, levels)),
        "transition": rng.dirichlet(np.ones(levels), levels),
        "start": start / start.sum(),
    }
    network = SensorNetwork(**{**parts(), **chain})
    if groups > levels:
        with pytest.raises(ValueError, match="n_levels must be"):
            network.coarsen(groups)
        return
    try:
        coarse = network.coarsen(groups)
    except ValueError as error:
        assert "without probability" in str(error)
        return
    assert coarse.start @ coarse.levels == pytest.approx(network.start @ network.levels)
    # One step from the start: the group's mass flows to where its members' mass flows.
    step = (network.start @ network.transition).sum()
    assert (coarse.start @ coarse.transition).sum() == pytest.approx(step)
    below = np.concatenate([[0.0], np.cumsum(network.start)[:-1]])
    member = np.minimum(groups - 1, np.floor(groups * (below + network.start / 2))).astype(int)
    flows = np.bincount(member, network.start @ network.transition, minlength=groups)
    np.testing.assert_allclose(coarse.start @ coarse.transition, flows, atol=1e-12)


# --------------------------------------------------------------------------------------------------- synthetic


@pytest.fixture(scope="module")
def city() -> SensorNetwork:
    return SensorNetwork.synthetic(1000, seed=0)


def test_synthetic_has_the_statistics_of_pku(city: SensorNetwork, pku: SensorNetwork) -> None:
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    for field, tolerance in (("mean_relation", 0.15), ("variance_relation", 0.12)):
        pairs = {n: np.abs(getattr(network, field)[np.triu_indices(n, 1)]) for n, network in ((1000, city), (30, pku))}
        got, want = np.quantile(pairs[1000], quantiles), np.quantile(pairs[30], quantiles)
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=1.5e-3 if field == "mean_relation" else 0.0)
    assert city.measurement_variance == pku.measurement_variance
    assert city.temporal_variance == pku.temporal_variance
    np.testing.assert_array_equal(city.transition, pku.transition)
    assert city.coordinates is not None
    side = np.ptp(city.coordinates, axis=0) / 1000.0
    assert 1000 / side.prod() == pytest.approx(32.9, rel=0.03)


def test_synthetic_is_spatially_correlated(city: SensorNetwork) -> None:
    assert city.coordinates is not None
    i, j = np.triu_indices(1000, 1)
    distance = np.hypot(*(city.coordinates[i] - city.coordinates[j]).T)
    near, far = distance < 100.0, distance > 1500.0
    b, a = city.variance_relation[i, j], np.square(city.mean_relation[i, j])
    assert b[near].mean() < b[far].mean() - 1.5e-4  # 11 % of 0.0031, most of it gone below 100 m
    assert a[near].mean() < 0.93 * a[far].mean()  # a quarter, five sixths of it


@given(n=st.integers(2, 60), seed=st.integers(0, 2**40))
@settings(max_examples=30, deadline=None)
def test_synthetic_is_always_valid(n: int, seed: int) -> None:
    network = SensorNetwork.synthetic(n, seed)
    assert network.n_locations == n
    assert network.name == f"synthetic-{n}-{seed}"
    off = ~np.eye(n, dtype=bool)
    assert (network.variance_relation[off] > 0.0).all()
    np.testing.assert_array_equal(network.variance_relation, network.variance_relation.T)
    np.testing.assert_array_equal(network.mean_relation, -network.mean_relation.T)
    assert network == SensorNetwork.synthetic(n, seed)


def test_synthetic_is_pinned(city: SensorNetwork) -> None:
    """City-v0 rests on these numbers: a change of them is a new version of the environment."""
    assert city.coordinates is not None
    digest = hashlib.sha256()
    for array in (city.coordinates, city.mean_relation, city.variance_relation):
        digest.update(array.astype("<f8").tobytes())
    assert digest.hexdigest() == "f6dc37b053286857b78052d76b68025eaee851c809be8ff3bd94a0e9f6a05961"
    assert not np.array_equal(SensorNetwork.synthetic(1000, seed=1).mean_relation, city.mean_relation)


def test_synthetic_by_name(city: SensorNetwork) -> None:
    assert SensorNetwork.load("synthetic-1000-0") == city
    assert SensorNetwork.load("synthetic-1000-0") is SensorNetwork.load("synthetic-1000-0")


def test_synthetic_is_quick() -> None:
    SensorNetwork.synthetic(10, 0)
    durations = []
    for seed in range(3):
        begin = time.process_time()
        SensorNetwork.synthetic(1000, seed)
        durations.append(time.process_time() - begin)
    assert min(durations) < 0.5  # 0.1 s on an idle core


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0), "n_locations must be at least 2"),
        ((10.0, 0), "n_locations must be an integer"),
        ((10, -1), "seed must not be negative"),
        ((10, None), "seed must be an integer"),
        ((10**30, 0), "n_locations must be at most 10000"),
        ((100_000, 0), "n_locations must be at most 10000"),
        ((10, 10**30000), r"seed must be below 2\*\*128, got a number of \d+ bits"),
    ],
)
def test_synthetic_refuses(arguments: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SensorNetwork.synthetic(*arguments)


# ----------------------------------------------------------------------------------------------------- rounding


@given(st.floats(-1e9, 1e9).filter(lambda x: x == 0.0 or abs(x) > 1e-9))
@settings(max_examples=300)
def test_round_significant_is_the_decimal_rounding(x: float) -> None:
    got = float(round_significant(x))
    assert got == pytest.approx(float(f"{x:.11e}"), rel=1.0001e-12, abs=0.0)
    assert len(f"{got:.15g}".replace("-", "").split("e")[0].replace(".", "").strip("0")) <= 12
    assert float(round_significant(got)) == got
    assert float(round_significant(-x)) == -got or got == 0.0


def test_joint_error_by_hand(pku: SensorNetwork) -> None:
    d2, s2, a, b = pku.measurement_variance, pku.temporal_variance, pku.mean_relation, pku.variance_relation
    u, d, e, j = 80.0, 3, 95.0, 7
    want = np.sqrt(d2 * u * u + d * s2 + b[0, j] * e * e + (u + a[0, j] * e - e) ** 2)
    assert pku.joint_error([0], np.array([d]), np.array([u]), e)[j] == pytest.approx(want, rel=1e-12)
    fresh = pku.joint_error([0, 4], np.array([0, 0]), np.array([e, e]), e)
    fused = pku.joint_error([0, 4], np.array([0, 0]), np.array([e, e]), e, fuse_measured=True)
    assert fresh[4] == pytest.approx(np.sqrt(d2) * e, rel=1e-12)
    assert fused[4] != fresh[4]
