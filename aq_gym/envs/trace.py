"""Episodes on the real air: windows of readings instead of the level chain."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym import datasets
from aq_gym.envs.arguments import impose
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.episodes import EpisodeState
from aq_gym.network import SensorNetwork
from aq_gym.traces import level_traces, windows

PERIODS = {"train": "pku2018-spring", "test": "pku2018-summer"}
_READINGS = "readings: expected a list of files, one for each uninterrupted period"


class _Windows:
    """All windows of T + 1 slots of some periods, never across a gap, each equally likely."""

    def __init__(self, network: SensorNetwork, tables: Sequence[NDArray[np.float64]], horizon: int) -> None:
        traces = [trace for table in tables for trace in level_traces(network, table, horizon)]
        self.outside = sum(trace.outside for trace in traces)
        self._levels = np.concatenate([trace.levels for trace in traces])
        begins = np.cumsum([0, *(len(trace.levels) for trace in traces[:-1])])
        self._starts = np.concatenate(
            [begin + windows(len(trace.levels), horizon, 1) for begin, trace in zip(begins, traces, strict=True)]
        )
        self._slots = np.arange(horizon + 1)

    def __len__(self) -> int:
        return len(self._starts)

    def draw(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """(R, T + 1) level indices; only the first of each row's uniform numbers decides."""
        rows = (uniforms[:, 0] * len(self._starts)).astype(np.int64)
        return np.asarray(self._levels[self._starts[rows][:, None] + self._slots])


def _tables(
    period: str, readings: Sequence[str | os.PathLike[str]] | None, slot_minutes: float
) -> tuple[NDArray[np.float64], ...]:
    if readings is None:
        if period not in PERIODS:
            raise ValueError(f"period: expected one of {', '.join(PERIODS)}, got {period!r}")
        return _load_period(PERIODS[period], str(datasets.data_folder()))
    if isinstance(readings, str | os.PathLike) or not readings:
        raise ValueError(f"{_READINGS}, got {readings!r}")
    return tuple(datasets.load_readings([Path(path) for path in readings], slot_minutes=slot_minutes))


@lru_cache(maxsize=4)
def _load_period(name: str, folder: str) -> tuple[NDArray[np.float64], ...]:
    return tuple(datasets.load_pku2018(name, folder)[0])


class _OnWindows:
    """What the single and the vector environment share: windows for paths, and no other future."""

    _windows: _Windows

    @property
    def outside(self) -> int:
        """Slots of the period whose level was clipped to the network's range."""
        return self._windows.outside

    def _draw_path(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        path: NDArray[np.int64] = super()._draw_path(uniforms)  # type: ignore[misc]
        return impose(self._windows.draw(uniforms), path)

    def set_state(self, state: EpisodeState, *, future_seed: int | None = None) -> None:
        """Continue from a state; see `MultiDeviceEnv.set_state`.

        Raises:
            ValueError: a future other than the real one is asked for, or what that method refuses.
        """
        if future_seed is not None:
            raise ValueError("future_seed: the levels are real, so there is no other future; leave it out")
        super().set_state(state)  # type: ignore[misc]


class MultiDeviceTraceEnv(_OnWindows, MultiDeviceEnv):
    """`MultiDeviceEnv` on windows of the real level, drawn with equal probability from one period.

    The same seed draws the same window, whatever the actions. Levels are the averages over all devices, as the nearest
    of the network's levels; `outside` counts the slots of the period that lie outside the network's range and were
    clipped to its ends. There is one future only, so `set_state` takes no ``future_seed``.

    ## Arguments
    As `MultiDeviceEnv`, with ``network="pku2018-spring"``, which was fitted to the train period, and:

    - ``period="train"``: DataSet_1 (spring); the ``"test"`` period, DataSet_2 (summer), must be asked for.
    - ``readings=None``: files of readings to use instead of a period, as `aq_gym.datasets.load_readings` takes them;
      with times they are averaged over the network's slots.

    ## Version History
    - v0: first release.

    Raises:
        ValueError: as `MultiDeviceEnv`; an unknown period, readings that don't match the network's locations, or a
            window longer than the readings.
        FileNotFoundError: the data set is not there; the message says how to get it.
    """

    def __init__(
        self,
        network: SensorNetwork | str | os.PathLike[str] = "pku2018-spring",
        devices: Sequence[int] | int = (0, 6, 12, 18, 24),
        *args: Any,
        period: str = "train",
        readings: Sequence[str | os.PathLike[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, devices, *args, **kwargs)
        network = self.problem.network
        self._windows = _Windows(network, _tables(period, readings, network.slot_minutes), self.problem.horizon)


class MultiDeviceTraceVectorEnv(_OnWindows, MultiDeviceVectorEnv):
    """K episodes of `MultiDeviceTraceEnv` advanced together; arguments as there and as `MultiDeviceVectorEnv`."""

    def __init__(
        self,
        num_envs: int = 1,
        network: SensorNetwork | str | os.PathLike[str] = "pku2018-spring",
        *args: Any,
        period: str = "train",
        readings: Sequence[str | os.PathLike[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_envs, network, *args, **kwargs)
        network = self.problem.network
        self._windows = _Windows(network, _tables(period, readings, network.slot_minutes), self.problem.horizon)
