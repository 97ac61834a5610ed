"""Writing files that are complete under their final names, whoever else writes, reads or is killed at that time."""

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once by one of that content; its folder is made if needed."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(path.parent) as alone:
            for other in path.parent.iterdir() if alone else ():
                if other.name.startswith(f".{path.name}.") and other.suffix == ".tmp":
                    other.unlink(missing_ok=True)  # left by a writer that was killed
            try:
                with beside.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"could not be written ({error.strerror or error})", str(path)) from error


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[bool]:
    """Let one writer at a time into a folder, if folders can be locked here; what it wrote survives a power cut."""
    if sys.platform == "win32":
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            alone = True
        except OSError:  # some network file systems know no such lock
            alone = False
        yield alone
        os.fsync(descriptor)
    finally:
        os.close(descriptor)  # and with it the lock
