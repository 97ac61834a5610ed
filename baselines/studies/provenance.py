"""Where a result comes from: the code, the locked dependencies, the machine and the versions that ran."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aq_gym.datasets import sha256_of

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("aq_gym", "agents", "baselines", "scripts")
PACKAGES = ("numpy", "numba", "torch", "gymnasium", "stable_baselines3")
_SUFFIXES = {".py", ".json", ".npz", ".csv"}


def commit() -> str | None:
    """The commit that the code is at, "-dirty" when it was changed since; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def sources() -> str:
    """SHA-256 over the names and contents of the code and its data files: the same here, the same behaviour."""
    digest = hashlib.sha256()
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in _SUFFIXES):
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0{sha256_of(path)}\0".encode())
    return digest.hexdigest()


def processor() -> str:
    """The processor's model, as the operating system calls it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory() -> float | None:
    """Main memory [GiB]; None where the operating system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def provenance() -> dict[str, Any]:
    """All of it, one value a column of a CSV file; None where it is unknown."""
    described, lock = commit(), ROOT / "requirements.lock"
    return {
        "commit": None if described is None else described.removesuffix("-dirty"),
        "dirty": None if described is None else described.endswith("-dirty"),
        "sources_sha256": sources(),
        "requirements_lock_sha256": sha256_of(lock) if lock.is_file() else None,
        "cpu": processor(),
        "cores": cores(),
        "memory_gib": memory(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def signature(command: str) -> str:
    """A line on what printed a page: the command, the commit and the machine."""
    known = provenance()
    made = f"{known['commit']}{' with changes' if known['dirty'] else ''}"
    count = f"{known['cores']} core{'' if known['cores'] == 1 else 's'}"
    return f"`{command}`, commit {made}, {count} ({known['cpu']})."
