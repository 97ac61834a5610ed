"""A version that was promoted while the service runs: loaded beside the running one, and taken over between slots."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from aq_gym.forecasting.forecaster import Forecaster
from aq_gym.policy import Policy
from aq_gym.problem import Problem
from aq_gym.service.artefacts import Artefacts


class Served(NamedTuple):
    """What a service runs."""

    problem: Problem  # with the network
    policy: Policy  # who decides
    yardstick: Policy | None = None  # whose error the policy's is compared with in the metrics
    forecaster: Forecaster | None = None  # of the level; None: the model's own forecasts
    version: str | None = None  # None: what the service was started with


class Versions:
    """Looks whether another version is promoted.

    Args:
        artefacts: the versions.
        load: makes what is served of the one that is promoted then.
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
