"""Random instances: networks, device sets, horizons and budgets, for agents that must serve more than one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem

SYNTHETIC_LOCATIONS = (20, 30, 45)
BASES = ("pku2018", "pku2018-spring", "pku2018-summer")  # the real cities are left for trials


class InstanceSampler:
    """Draws problems, each independent of the others.

    A network is one of the bundled ones, as it is or coarsened, or a synthetic one of 20 to 45 locations; M devices
    stand at random places; T is log-uniform; the budget pays for a sensing every ``period`` slots, and the longest
    sleep is 1.2 to 4.2 times as long; a budget is at least 2. By default five devices and ten are left out, so that the
    registered ids of these sizes are new to whoever learns on the samples.

    Args:
        seed: the same seed draws the same problems.
        n_devices: the possible M, equally likely.
        horizon: least and greatest T [slots].
        period: least and greatest T / B [slots].

    Raises:
        ValueError: an empty or impossible range; the message names it.
    """

    def __init__(
        self,
        seed: int,
        *,
        n_devices: Sequence[int] = (1, 2, 3, 4, 6, 7, 8, 9, 11, 12),
        horizon: tuple[int, int] = (20, 168),
        period: tuple[float, float] = (2.5, 13.0),
    ) -> None:
        if not n_devices or min(n_devices) < 1 or max(n_devices) > min(SYNTHETIC_LOCATIONS):
            raise ValueError(f"n_devices: expected numbers in 1..{min(SYNTHETIC_LOCATIONS)}, got {n_devices!r}")
        for name, (low, high), least in (("horizon", horizon, 2.0), ("period", period, 1.0)):
            if not least <= low <= high:
                raise ValueError(f"{name}: expected two numbers of at least {least:g}, in order, got {(low, high)!r}")
        self._rng = np.random.default_rng(seed)
        self.max_devices = int(max(n_devices))
        self._n_devices, self._horizon, self._period = tuple(n_devices), horizon, period

    def draw(self) -> Problem:
        """The next problem."""
        rng = self._rng
        network = self._network()
        m = int(rng.choice(self._n_devices))
        devices = rng.choice(network.n_locations, m, replace=False).tolist()
        horizon = round(np.exp(rng.uniform(*np.log(self._horizon))))
        period = min(rng.uniform(*self._period), horizon / 2.0)
        budget = round(horizon / period)
        sleep = int(np.ceil(rng.uniform(1.2, 4.2) * horizon / budget))
        return Problem.create(network, devices, horizon, budget, sleep)

    def _network(self) -> SensorNetwork:
        rng = self._rng
        if rng.random() < 0.5:
            network = SensorNetwork.load(str(rng.choice(BASES)))
            return network.coarsen(int(rng.integers(4, 9))) if rng.random() < 0.3 else network
        return SensorNetwork.synthetic(int(rng.choice(SYNTHETIC_LOCATIONS)), seed=int(rng.integers(1, 2**31)))
