"""Versions of what the service runs on: a folder of files each, with a manifest; a file named `current` says which.

    models/current              0002
    models/0001/manifest.json   what it was made from, scores, parent, SHA-256 of its files
    models/0001/...             network.npz, policy.safetensors, forecaster.zip

A version is written under another name and renamed when it is whole. `current` is replaced in one step, so whoever
reads it finds the old version or the new one. Old versions stay.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from aq_gym.files import write_atomically

CURRENT, MANIFEST = "current", "manifest.json"
NETWORK, POLICY, FORECASTER = "network.npz", "policy.safetensors", "forecaster.zip"


class Promoted(NamedTuple):
    """The version that is served. By default it is what the service was started with: no version, and no files."""

    version: str | None = None
    manifest: Mapping[str, Any] = MappingProxyType({})
    files: Mapping[str, Path] = MappingProxyType({})


class Artefacts:
    """The versions in a folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def versions(self) -> list[str]:
        """All versions, oldest first, promoted or not."""
        return sorted(path.parent.name for path in self.folder.glob(f"[0-9]*/{MANIFEST}"))

    def current(self) -> str | None:
        """The version that is served; None where none was promoted.

        Raises:
            ValueError: `current` names no version.
        """
        path = self.folder / CURRENT
        if not path.exists():
            return None
        name = path.read_text("utf-8").strip()
        if name and name not in self.versions():
            raise ValueError(f"{path}: expected one of {', '.join(self.versions())}, got {name!r}")
        return name or None

    def stamp(self) -> str:
        """The content of `current`, unchecked; changes with every promotion."""
        path = self.folder / CURRENT
        return path.read_text("utf-8", "replace") if path.is_file() else ""

    def manifest(self, version: str) -> dict[str, Any]:
        """What is known of a version.

        Raises:
            ValueError: no such version, or one of its files was changed since it was made.
        """
        path = self.folder / version / MANIFEST
        if version not in self.versions():
            raise ValueError(f"{path} is missing; versions: {', '.join(self.versions()) or 'none'}")
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        for name, digest in found["files"].items():
            if not (path.parent / name).is_file() or _digest(path.parent / name) != digest:
                raise ValueError(f"{path.parent / name}: is missing or was changed since version {version} was made")
        return found

    def promoted(self) -> Promoted:
        """The version that is served, its files checked."""
        version = self.current()
        if version is None:
            return Promoted()
        manifest = self.manifest(version)
        return Promoted(version, manifest, {name: self.folder / version / name for name in manifest["files"]})

    @contextmanager
    def drafting(self) -> Iterator[Path]:
        """A folder to write a new version into; whatever is left of it at the end is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self.folder))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def add(self, draft: Path, about: Mapping[str, Any]) -> str:
        """Make a version of the files in a draft; it is not served until it is promoted."""
        version = f"{max(map(int, self.versions()), default=0) + 1:04d}"
        files = {path.name: _digest(path) for path in sorted(draft.iterdir())}
        head = {"version": version, "parent": self.current(), "time": datetime.now(UTC).isoformat(timespec="seconds")}
        text = json.dumps({**head, **about, "files": files}, indent=1) + "\n"
        write_atomically(draft / MANIFEST, text.encode())
        draft.chmod(0o755)
        draft.rename(self.folder / version)
        return version

    def promote(self, version: str | None) -> None:
        """Serve a version, by running services too; None: what the service is started with.

        Raises:
            ValueError: no such version, or a damaged one.
        """
        if version is not None:
            self.manifest(version)
        write_atomically(self.folder / CURRENT, f"{version or ''}\n".encode())

    def rollback(self) -> str | None:
        """Go back to the version that the present one replaced, and return it.

        Raises:
            ValueError: nothing was promoted.
        """
        version = self.current()
        if version is None:
            raise ValueError(f"{self.folder}: no version is promoted, so there is none to go back from")
        parent: str | None = self.manifest(version)["parent"]
        self.promote(parent)
        return parent


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
