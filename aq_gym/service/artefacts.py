"""Versions of what the service runs on: a folder of files each, with a manifest; a file named `current` says which.

    models/current              0002
    models/0001/manifest.json   what it was made from, scores, parent, SHA-256 of its files
    models/0001/...             network.npz, policy.safetensors, forecaster.zip

A version is written under another name and renamed when it is whole. `current` is replaced in one step, so whoever
reads it finds the old version or the new one. Old versions stay.
"""

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from aq_gym.datasets import sha256_of
from aq_gym.files import write_atomically
from aq_gym.forecasting.forecaster import Forecaster
from aq_gym.policy import Policy
from aq_gym.problem import Problem

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
        name = self.stamp().strip()
        if name and name not in self.versions():
            raise ValueError(f"{self.folder / CURRENT}: expected one of {', '.join(self.versions())}, got {name!r}")
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
            if not (path.parent / name).is_file() or sha256_of(path.parent / name) != digest:
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
        with tempfile.TemporaryDirectory(prefix=".draft-", dir=self.folder, ignore_cleanup_errors=True) as draft:
            yield Path(draft)

    def add(self, draft: Path, about: Mapping[str, Any]) -> str:
        """Make a version of the files in a draft; it is not served until it is promoted."""
        version = f"{max(map(int, self.versions()), default=0) + 1:04d}"
        files = {path.name: sha256_of(path) for path in sorted(draft.iterdir())}
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


class Served(NamedTuple):
    """What a service runs."""

    problem: Problem  # with the network
    policy: Policy  # who decides
    yardstick: Policy | None = None  # whose error the policy's is compared with in the metrics
    forecaster: Forecaster | None = None  # of the level; None: the model's own forecasts
    version: str | None = None  # None: what the service was started with


class Versions:
    """Looks whether another version was promoted while the service runs.

    It is loaded beside the running one, and taken over between slots. ``load`` makes what is served of the one that is
    promoted then.
    """

    def __init__(self, artefacts: Artefacts, load: Callable[[], Served]) -> None:
        self._artefacts, self._load = artefacts, load
        self._seen = artefacts.stamp()
        self._thread: threading.Thread | None = None
        self._found: Served | Exception | None = None

    def look(self) -> Served | None:
        """A version that was promoted since and is loaded by now; it is loaded by a thread, while slots go on.

        Raises:
            Exception: whatever the loading raised, once for each version.
        """
        if self._thread is not None and self._thread.is_alive():
            return None
        found, self._found = self._found, None
        if isinstance(found, Exception):
            raise found
        if found is None and (stamp := self._artefacts.stamp()) != self._seen:
            self._seen = stamp
            self._thread = threading.Thread(target=self._try, name="version", daemon=True)
            self._thread.start()
        return found

    def _try(self) -> None:
        try:
            self._found = self._load()
        except Exception as error:
            self._found = error
