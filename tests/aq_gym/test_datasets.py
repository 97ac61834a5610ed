"""Loaders, hashes, the mirror and the downloader (against a real server on the loopback)."""

import functools
import gzip
import http.server
import os
import shutil
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aq_gym import datasets
from aq_gym.datasets import load_calibration, load_locations, load_pku2018, load_readings
from aq_gym.network import INSTANCES

GOOD = "1,2,3\n4,5,6\n7,8,9\n"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# ------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    "text",
    [
        *(GOOD, "\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), GOOD.replace("\n", "\r"), GOOD.strip(), GOOD + "\n\n"),
        *(GOOD.replace("5", '" 5.0e0"'), GOOD.replace("5", "\u00a05"), GOOD.replace("5", "+5.")),
        *(GOOD.encode("utf-16"), gzip.compress(GOOD.encode(), mtime=0), ("\ufeff" + GOOD).encode("utf-16-be")),
    ],
)
def test_readings(tmp_path: Path, text: str | bytes) -> None:
    (table,) = load_readings([write(tmp_path / "a.csv", text)])
    np.testing.assert_array_equal(table, np.arange(1.0, 10.0).reshape(3, 3))
    np.testing.assert_array_equal(load_calibration(tmp_path / "a.csv"), table)


@pytest.mark.parametrize(
    "marker", ["", " ", "NA", "n/a", "null", "--", "-", "None", "<NA>", "?", " NA ", "nan", "-999"]
)
def test_what_was_not_read_is_nan(tmp_path: Path, marker: str) -> None:
    (table,) = load_readings([write(tmp_path / "a.csv", f"{GOOD}4,{marker},6\n{marker or 'NA'},1,2\n")])
    assert np.isnan(table).nonzero()[0].tolist() == [3, 4] and np.isnan(table).nonzero()[1].tolist() == [1, 0]
    with pytest.raises(ValueError, match="row 4, column 2"):
        load_calibration(tmp_path / "a.csv")  # where every number counts


@pytest.mark.parametrize(
    ("text", "where", "why", "remedy"),
    [
        ("1,2,3\n4,5\n7,8,9\n", "row 2", "2 columns, row 1 has 3, so column 3 is missing", "same columns"),
        ("1,2,3\n4,5,6,7\n", "row 2", "4 columns, row 1 has 3, so column 4 is too many", "same columns"),
        ("1,2,3\nnan,x,6\n", "row 2, column 2", "'x' is not a number", "delete the row"),
        ("a,b,3\n1,2,3\n4,5,6\n", "row 1, column 1", "'a' is not a number", "delete a header line"),
        ("a,b,c\n", "a.csv", "0 row(s) below the header", "add rows"),
        ("2018-03-01 00:10,2\n2018-03-01 00:20,3\n", "a.csv", "2 slot(s) of 1 device(s)", "at least 2 slots and 2"),
        ("00:10,2,3\n00:20,3,4\n", "row 1, column 1", "'00:10' is no date and time", "write it like 2016-03-01 13:00"),
        ("1,2,3\n4,x,6\n", "row 2, column 2", "'x' is not a number", "delete the row"),
        ("1,2,3\n4,5,-inf\n", "row 2, column 3", "'-inf' is not finite", "fill in a number"),
        ("1,2,3\n4,5,1e999\n", "row 2, column 3", "'1e999' is not finite", "fill in a number"),
        ("1,2,3\n4,5,6\n7,8,-9\n", "row 3, column 3", "'-9' is not a concentration", "correct it"),
        ("1,2,\n4,5,\n", "column 3", "the column is empty", "a comma too many"),
        ("1,2,3\na,b,c\n4,5,6\n", "row 2, column 1", "'a' is not a number", "correct it or delete the row"),
        ("1.5x,2,3\n4,5,6\n", "row 1, column 1", "'1.5x' is not a number", "correct it or delete the row"),
        ("1 2 3\n4 5 6\n", "row 1", "1 column", "(the row is '1 2 3')"),
        ("1 2,3\n4,5\n", "row 1, column 1", "'1 2' is not a number", "no spaces"),
        ('"1,000",2\n3,4\n', "row 1, column 1", "'1,000' is not a number", "without separators of thousands"),
        ('"12,5",2\n3,4\n', "row 1, column 1", "'12,5' is not a number", "with a decimal point"),
        ("1'000,2\n3,4\n", "row 1, column 1", '"1\'000" is not a number', "without separators of thousands"),
        *(
            (f"1,2\n3,{cell}\n", "row 2, column 2", f"{cell!r} is not a number", "digits 0-9, a plain minus sign")
            for cell in ("١٢", "１２", "−5", "1\u202f000", "4٫5", "½")
        ),
        ("1,2\n3,1_0\n", "row 2, column 2", "'1_0' is not a number", "correct it"),
        ("1,2\n3,0x10\n", "row 2, column 2", "'0x10' is not a number", "correct it"),
        ("1,2\n3,True\n", "row 2, column 2", "'True' is not a number", "correct it"),
        ("1,2\n3,4+1j\n", "row 2, column 2", "'4+1j' is not a number", "correct it"),
        (GOOD + "7,2001,9\n", "row 4, column 2", "2001 is above 2000 µg/m³", "correct it or delete the row"),
        (GOOD + "7,8,1e20\n", "row 4, column 3", "1e+20 is above 2000 µg/m³", "raise `largest`"),
        ("1.52e9,3\n1520000600,5\n", "row 1, column 1", "so is the whole column", "delete the column"),
        ("".join(f"{k},{k % 5}\n" for k in range(30)), "column 1", "every row is 1 more than the row before", "delete"),
        (GOOD.encode("utf-16-le"), "a.csv, row 1", "0x00 is no UTF-8 text", "plain comma-separated UTF-8"),
        ("1,2\n3,4µ\n".encode("latin-1"), "a.csv, row 2", "0xb5 is no UTF-8 text", "plain comma-separated UTF-8"),
        (gzip.compress(GOOD.encode(), mtime=0)[:-9], "a.csv", "the gzip file is damaged", "download it again"),
        (
            gzip.compress(GOOD.encode(), mtime=0)[:12] + b"\0\0\0" + gzip.compress(GOOD.encode(), mtime=0)[15:],
            "a.csv",
            "damaged",
            "again",
        ),
        (b"PK\x03\x04rest", "a.csv", "zip archive or a workbook", "save its table"),
        ("1,2,3\n\n4,5,6\n", "row 2", "the row is empty", "delete it"),
        ("1,2,3\n", "a.csv", "1 row(s); at least 2 slots", "add rows"),
        ("", "a.csv", "0 row(s); at least 2 slots", "add rows"),
        ("1\n2\n", "row 1", "1 column; at least 2 devices", "add columns"),
        (b"1,2\n3,\xff\n", "a.csv, row", "0xff is no UTF-8 text", "plain comma-separated UTF-8"),
        ('1,2\n3,"4\n', "a.csv, row", "unexpected end of data", "plain comma-separated text"),
    ],
)
def test_bad_table(tmp_path: Path, text: str | bytes, where: str, why: str, remedy: str) -> None:
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(ValueError, match=r"a\.csv") as caught:
        load_readings([path])
    for words in (where, why, remedy):
        assert words in str(caught.value)


def test_largest_is_the_users_to_say(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1,2\n3,9000\n")
    assert load_readings([path], largest=1e4)[0].max() == load_calibration(path, largest=1e4).max() == 9000.0
    for largest in (0, -1, float("nan"), "x", None, True):
        with pytest.raises(ValueError, match="largest must be"):
            load_readings([path], largest=largest)  # type: ignore[arg-type]


def test_a_folder_and_a_pipe_are_not_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder: give the files in it"):
        load_readings([tmp_path])
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=lambda: write(tmp_path / "pipe", GOOD), daemon=True).start()
    assert load_readings([tmp_path / "pipe"])[0].shape == (3, 3)


def test_mutations_of_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused by a ValueError that names the file, or a table of plausible numbers."""
    rng = np.random.default_rng(0)
    text = "\n".join(",".join(f"{x:g}" for x in row) for row in rng.integers(1, 500, (8, 4)) / 2)
    pieces = [*"0123456789.,;\n\r\t \"'-+eE_/:#", "", "NA", "nan", "-999", "1e999", "µ", "１", "\0", "\ufeff", "\n\n"]
    taken = 0
    for k in range(500):
        content, at = bytearray(text.encode()), int(rng.integers(len(text)))
        new = rng.bytes(2) if k % 4 == 0 else str(rng.choice(pieces)).encode()
        content[at : at + int(rng.integers(3))] = new
        held = gzip.compress(content, mtime=0) if k % 4 == 1 else bytes(content)
        held = held[: int(rng.integers(60))] if k % 8 == 1 else held  # a damaged archive
        monkeypatch.setattr(Path, "read_bytes", lambda self, held=held: held)  # writing files takes longer than reading
        try:
            (table,) = load_readings(["a.csv"])
        except ValueError as error:
            assert "a.csv" in str(error) and ("row" in str(error) or "gzip" in str(error))
            continue
        taken += 1
        table = np.asarray(table)
        assert (np.isnan(table) | (table >= 0.0) & (table <= 2000.0)).all() and 2 <= table.shape[1] <= 5
    assert 50 < taken < 400


def test_files_must_agree(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.csv", GOOD), write(tmp_path / "b.csv", "1,2\n3,4\n")
    with pytest.raises(ValueError, match=r"b\.csv, row 1: 2 columns, but .*a\.csv has 3; .*same devices"):
        load_readings([first, second])
    with pytest.raises(ValueError, match="put it into a list"):
        load_readings(str(first))  # type: ignore[arg-type]
    for paths in (None, 3, [None]):
        with pytest.raises(ValueError, match="paths must be a list of files, got"):
            load_readings(paths)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="paths is empty"):
        load_readings([])
    with pytest.raises(FileNotFoundError, match=r"c\.csv is missing: check the name"):
        load_readings([tmp_path / "c.csv"])


# ----------------------------------------------------------------------------------------------- locations


def test_locations(tmp_path: Path) -> None:
    text = "place,Longitude_BD09,latitude\na,116.0,40.0\nb,116.01,40.0\nc,116.0,40.01\nd,116.01,40.01\n"
    xy = load_locations(write(tmp_path / "where.csv", text))
    # A hundredth of a degree: 1,112 m to the north, and times cos(40.005 degrees) to the east.
    north = 6_371_008.8 * np.pi / 18_000
    np.testing.assert_allclose(xy[3] - xy[0], [north * np.cos(np.radians(40.005)), north], rtol=1e-9)
    np.testing.assert_allclose(xy.mean(axis=0), 0.0, atol=1e-6)
    assert datasets.load_locations(INSTANCES / "pku2018-locations.csv").shape == (30, 2)
    over = load_locations(write(tmp_path / "line.csv", "longitude,latitude\n179.9,0\n-179.9,0\n"))  # the date line
    assert np.ptp(over[:, 0]) == pytest.approx(20 * north, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,latitude\n1,2\n3,4\n", r"where\.csv, row 1: 0 columns start with 'longitude'.*mend the header"),
        ("longitude,longitude2,latitude\n1,2,3\n", "2 columns start with 'longitude'"),
        ("longitude,latitude\n1,2\n3\n", "row 3: 1 columns, row 1 has 2"),
        ("longitude,latitude\n1,2\n3,91\n", "row 3, column 2: '91' is not an angle in degrees, from -90 to 90"),
        ("longitude,latitude\n1,2\n,4\n", "row 3, column 1: the cell is empty"),
        ("longitude,latitude\n1,2\n", r"1 location\(s\) below the header; at least 2"),
        ("", "0 columns start with 'longitude'"),
        ("longitude,latitude\n116,40\n116.1,40\n0,0\n", r"where\.csv, row 4: .* km from the median location"),
        ("longitude,latitude\n116,40\n116.1,٤٠\n", "row 3, column 2: '٤٠' is not a number"),
        ("longitude,latitude\n116,40\n116.1,n/a\n", "row 3, column 2: 'n/a' .* marks a missing"),
    ],
)
def test_bad_locations(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_locations(write(tmp_path / "where.csv", text))


# ------------------------------------------------------------------------------------------- the PKU files


def test_checksums_file_agrees(root: Path) -> None:
    lines = (root / "data" / "checksums.sha256").read_text("utf-8").splitlines()
    assert {name: known_hash for known_hash, name in (line.split("  ") for line in lines)} == datasets.FILES


def test_real_files(pku_data: Path) -> None:
    (spring, summer), calibration = load_pku2018("pku2018", pku_data)
    assert spring.shape == (10_000, 30)
    assert summer.shape == (11_545, 30)
    assert calibration.shape == (70, 488)
    assert (min(spring.min(), summer.min()), max(spring.max(), summer.max())) == (1.0, 511.0)
    means = spring.mean(axis=1), summer.mean(axis=1)
    assert [round(f(m), 1) for m in means for f in (np.min, np.max)] == [1.0, 465.1, 1.0, 302.6]
    np.testing.assert_array_equal(load_pku2018("pku2018-summer", pku_data)[0][0], summer)


def test_missing_altered_and_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_GYM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"DataSet_1.*is missing: fetch it by .*download_data.*AQ_GYM_DATA"):
        load_pku2018()
    (tmp_path / "pku2018").mkdir()
    write(tmp_path / "pku2018" / datasets.SUMMER, GOOD)
    with pytest.raises(
        ValueError, match=r"DataSet_2.*has SHA-256 [0-9a-f]{64}, but the original has 50aa7cc.*delete it"
    ):
        load_pku2018("pku2018-summer")
    with pytest.raises(ValueError, match="unknown period 'winter': known ones are pku2018, pku2018-spring"):
        load_pku2018("winter")


# ------------------------------------------------------------------------------------------- downloading


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a file server on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """Stand-ins for the three files, under their real names, and no mirror or proxy."""
    content = {name: f"{k},1\n2,{k}\n".encode() for k, name in enumerate(datasets.FILES)}
    for name in content:
        (tmp_path / "original").write_bytes(content[name])
        monkeypatch.setitem(datasets.FILES, name, datasets.sha256_of(tmp_path / "original"))
    monkeypatch.delenv("AQ_GYM_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    return content


def test_download(server: tuple[str, Path], small_files: dict[str, bytes], tmp_path: Path) -> None:
    pytest.importorskip("pooch")
    url, folder = server
    for name, content in small_files.items():
        write(folder / name, content)
    target = tmp_path / "raw"
    assert datasets.download(target, base_url=url + "/", retries=0) == target
    assert {p.name: p.read_bytes() for p in target.iterdir()} == small_files
    # Again, with nothing to fetch any more and one file lost here: only that one is fetched.
    (target / datasets.SUMMER).unlink()
    for name in (datasets.SPRING, datasets.CALIBRATION):
        (folder / name).unlink()
    datasets.download(target, base_url=url, retries=0)
    assert (target / datasets.SUMMER).read_bytes() == small_files[datasets.SUMMER]
    # A file that was altered here is neither used nor overwritten.
    write(target / datasets.SUMMER, b"mine")
    with pytest.raises(ValueError, match="delete it and download it again"):
        datasets.download(target, base_url=url, retries=0)
    assert (target / datasets.SUMMER).read_bytes() == b"mine"


def test_download_of_something_else(server: tuple[str, Path], small_files: dict[str, bytes], tmp_path: Path) -> None:
    pytest.importorskip("pooch")
    url, folder = server
    write(folder / datasets.SPRING, small_files[datasets.SPRING][:-1])
    target = tmp_path / "raw"
    with pytest.raises(ValueError, match=r"DataSet_1.*does not have the SHA-256 .* of the original, so nothing"):
        datasets.download(target, base_url=url, retries=0)
    (folder / datasets.SPRING).unlink()
    with pytest.raises(ConnectionError, match=r"cannot download http://127.*404.*AQ_GYM_DATA"):
        datasets.download(target, base_url=url, retries=0)
    assert list(target.iterdir()) == []
    (target / datasets.SPRING).mkdir()
    with pytest.raises(ValueError, match=r"DataSet_1.* is a folder"):
        datasets.download(target, base_url=url, retries=0)
    (target / "file").touch()
    with pytest.raises(OSError, match="file"):
        datasets.download(target / "file", base_url=url, retries=0)
    assert urllib.parse.quote(datasets.SPRING) == "DataSet_1%2820180301-20180515%29.csv"


def test_download_without_a_server(small_files: dict[str, bytes], tmp_path: Path) -> None:
    pytest.importorskip("pooch")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as closed:
        url = f"http://127.0.0.1:{closed.server_port}"
    with pytest.raises(ConnectionError, match="check the connection"):
        datasets.download(tmp_path / "raw", base_url=url, retries=0)


def test_download_without_pooch(small_files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pip install 'aq-gym\[train\]'"):
        datasets.download(tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


def test_mirror(small_files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)  # a mirror needs no downloader
    mirror = tmp_path / "mirror" / "pku2018"
    mirror.mkdir(parents=True)
    monkeypatch.setenv("AQ_GYM_DATA", str(mirror.parent))
    with pytest.raises(FileNotFoundError, match="is missing"):
        datasets.download()
    for name, content in small_files.items():
        write(mirror / name, content)
    assert datasets.download() == mirror == datasets.data_folder()
    target = tmp_path / "copy"
    assert datasets.download(target) == target
    assert {p.name: p.read_bytes() for p in target.iterdir()} == small_files
    write(mirror / datasets.SPRING, b"1,2\n")
    shutil.rmtree(target)
    with pytest.raises(ValueError, match="has SHA-256"):
        datasets.download(target)
    assert not target.exists()
    monkeypatch.delenv("AQ_GYM_DATA")
    assert datasets.data_folder() == Path("data/raw/pku2018")
    assert os.environ.get("AQ_GYM_DATA") is None
