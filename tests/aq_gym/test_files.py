"""Files are written whole or not at all."""

import errno
import os
import stat
from pathlib import Path

import pytest

from aq_gym.files import write_atomically


def test_a_file_a_link_and_a_device(tmp_path: Path) -> None:
    path, link = tmp_path / "deep" / "a.txt", tmp_path / "link"
    write_atomically(path, b"old")
    link.symlink_to(path)
    write_atomically(link, b"new")
    assert link.is_symlink() and path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", b"through")
    assert os.read(reader, 99) == b"through" and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    os.close(reader)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"No space left on device: .*a\.txt"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["a.txt/b", "folder"])
def test_what_is_in_the_way_is_named(tmp_path: Path, where: str) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"a\.txt|folder"):
        write_atomically(tmp_path / where, b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "folder"]
