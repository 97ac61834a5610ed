"""Policies on real readings: which readings reach the server, and what goes wrong on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from aq_gym.datasets import sha256_of
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.episodes import Episodes
from aq_gym.estimation import Sources, mean_deviation
from aq_gym.ingestion.loading import raw_readings
from aq_gym.ingestion.screening import screen
from aq_gym.network import SensorNetwork
from aq_gym.network_files import read_card
from aq_gym.policy import observation_of
from aq_gym.problem import Problem
from aq_gym.traces import level_trace, windows
from baselines.exact.states import info_of
from baselines.heuristics.simple import legal


@dataclass(frozen=True)
class Windows:
    """Real readings, cut into episodes."""

    readings: NDArray[np.float64]  # (K, T + 1, N) [µg/m³]
    levels: NDArray[np.int64]  # (K, T + 1) indices into the network's levels
    outside: int  # number of slots in all periods whose level lies outside the network's levels and was clipped

    @classmethod
    def cut(cls, network: SensorNetwork, tables: Sequence[ArrayLike], horizon: int, stride: int | None = None) -> Self:
        """Windows of T + 1 slots in which every device was read, by default side by side, never across a gap."""
        readings, levels, outside = [], [], 0
        for part in [part for table in tables for part in whole_stretches(table, horizon)]:
            trace = level_trace(network, part)
            slots = windows(len(trace.levels), horizon, stride)[:, None] + np.arange(horizon + 1)
            readings.append(part[slots])
            levels.append(trace.levels[slots])
            outside += trace.outside
        return cls(np.concatenate(readings), np.concatenate(levels), outside)

    def __len__(self) -> int:
        return len(self.readings)


def whole_stretches(readings: ArrayLike, horizon: int) -> list[NDArray[np.float64]]:
    """The stretches of a (T, N) table in which every device was read, those of T + 1 slots and more."""
    table = np.asarray(readings, dtype=np.float64)
    gaps = np.isnan(table).any(axis=1)
    if not gaps.any():
        return [table]
    whole = np.ma.clump_unmasked(np.ma.array(gaps, mask=gaps))
    long = [table[x] for x in whole if x.stop - x.start > horizon]
    if not long:
        raise ValueError(f"readings: in no {horizon + 1} slots in a row was every device read; take a shorter horizon")
    return long


def own_readings(path: Path, files: Sequence[Path]) -> tuple[SensorNetwork, list[NDArray[np.float64]], list[str]]:
    """A network, the readings of its stations, and what the user should know about them.

    Implausible and stuck readings are left out as `scripts.calibrate` leaves them out.

    Returns:
        The network, (T, N) tables [µg/m³] with NaN where nothing is used, and lines to print.
    """
    network, about = SensorNetwork.load(path), read_card(path)
    frames = [pd.DataFrame(x) for x in raw_readings(files, slot_minutes=network.slot_minutes)]
    screened = screen(frames)
    names = list(about.get("stations", map(str, frames[0])))
    for name in names:
        if name not in screened.tables[0]:
            reason = screened.left_out.get(name, "no file has a column of that name")
            raise ValueError(f"readings: {name!r}, a station of {path}, has none: {reason}")
    lines = [screened.summary()]
    known = about.get("data", {}).get("readings", {}).values()
    if any(f"sha256:{sha256_of(file)}" in known for file in files):
        lines.append("the network was fitted to these readings, so its maps look better than they are on new ones")
    return network, [table[names].to_numpy(dtype=np.float64) for table in screened.tables], lines


@dataclass(frozen=True)
class Replayed:
    """What a policy did on the windows."""

    sensed: NDArray[np.bool_]  # (K, T, M) whether device m sensed in slot t + 1
    joint_error: NDArray[np.float64]  # (K,) average joint error by the model [µg/m³]


def replay(
    policy: Any, problem: Problem, levels: NDArray[np.int64], wrap: Callable[[Any], Any] = lambda env: env
) -> Replayed:
    """Play a policy on imposed level paths, (K, T + 1) indices into the network's levels; ``wrap`` wraps the batch."""
    k, m = len(levels), problem.n_devices
    batch = MultiDeviceVectorEnv(k, **problem.arguments, observation=observation_of(policy), autoreset_mode="Disabled")
    env = wrap(batch)
    if hasattr(policy, "reset"):
        policy.reset(0)
    observation, info = env.reset(seed=0, options={"levels": levels if k > 1 else levels[0]})
    sensed = np.zeros((k, problem.horizon, m), np.bool_)
    for decision in range(problem.horizon * m):
        slot, turn = divmod(decision, m)
        before = info["energy"][:, turn]
        observation, _, _, _, info = env.step(policy.act(observation, info))
        sensed[:, slot, turn] = info["energy"][:, turn] < before
    env.close()
    return Replayed(sensed, info["average_joint_error"])


def play_reports(
    policy: Any,
    problem: Problem,
    said: NDArray[np.float64],
    lost: NDArray[np.bool_],
    level: NDArray[np.float64] | None = None,
    dead: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Play a policy on imposed reports.

    Args:
        policy: of the sequential view.
        problem: without harvest.
        said: (K, T + 1, M) what a device reports of the level if it senses [µg/m³]; in slot 0 all do.
        lost: (K, T, M) reports that do not arrive; their energy is spent.
        level: (K, T + 1) that the policy sees [µg/m³]; None: as the reports have it.
        dead: number of devices, the first ones, that lose their energy halfway.

    Returns:
        (K, T, M) slot of each device's last report at the end of slots 1..T, and (K, M) the energy left.
    """
    k, m = len(said), problem.n_devices
    episodes = None
    if getattr(policy, "needs_observation", True):
        episodes = Episodes(problem, k, observation=observation_of(policy))
    rows, devices = np.arange(k)[:, None], np.arange(m)
    energy, last = np.tile(problem.energies, (k, 1)), np.zeros((k, m), np.int64)
    reported = np.empty((k, problem.horizon, m), np.int64)
    for slot in range(1, problem.horizon + 1):
        if slot == problem.horizon // 2 + 1:
            energy[:, :dead] = 0
        for turn in range(m):
            delay, record = np.minimum(slot - last, problem.longest_delay), said[rows, last, devices]
            known = problem.hidden_level.level(delay, record)[0] if level is None else level[:, slot]
            info = info_of(slot, turn, energy.copy(), delay, record, known, problem.max_sleep)
            observation = None
            if episodes is not None:
                observation = episodes.observe_states(slot, turn, energy, delay, record, known)
            on = legal(np.asarray(policy.act(observation, info)) == 1, info) == 1
            energy[:, turn] -= on
            last[on & ~lost[:, slot - 1, turn], turn] = slot
        reported[:, slot - 1] = last
    return reported, energy


@dataclass(frozen=True)
class Faults:
    """What goes wrong on the way to the server; by default nothing.

    The policy does not know it: it sees the true level, so that all conditions replay the same sensings.
    """

    level_noise: float = 0.0  # standard deviation of the server's level, as a share of it; drawn anew in every slot
    level_from_readings: bool = False  # the server estimates the level from the last readings alone
    measurement_noise: float = 0.0  # standard deviation of what is added to each reading, as a share of it
    lost: float = 0.0  # share of the readings that never arrive; their energy is spent
    dead: int = 0  # number of devices, the first ones, whose readings do not arrive in the second half of a window

    @property
    def assumed_noise(self) -> float:
        """The level's error that the level-aware map assumes; 1, so almost no knowledge, where it has no source."""
        return 1.0 if self.level_from_readings else self.level_noise


def sources_of(
    replayed: Replayed, problem: Problem, data: Windows, faults: Faults = Faults(), seed: int = 0
) -> tuple[Sources, NDArray[np.float64]]:
    """The last readings in every slot 1..T of every window, and the level that the server knows: (K, T) [µg/m³]."""
    rng = np.random.default_rng(seed)
    k, horizon, m = replayed.sensed.shape
    arrived = replayed.sensed & ~(rng.random(replayed.sensed.shape) < faults.lost)
    arrived[:, horizon // 2 :, : faults.dead] = False
    slots = np.arange(1, horizon + 1)
    last = np.maximum.accumulate(np.where(arrived, slots[:, None], 0), axis=1)  # (K, T, M); slot 0: all sensed
    devices = np.array(problem.devices, np.int64)
    rows = np.arange(k)[:, None, None]
    readings = data.readings[:, :, devices]
    readings = readings * (1.0 + faults.measurement_noise * rng.standard_normal(readings.shape))
    reading = readings[rows, last, np.arange(m)]
    known = data.readings.mean(axis=2)
    known = known * np.maximum(1.0 + faults.level_noise * rng.standard_normal(known.shape), 0.1)
    if faults.level_from_readings:
        scaled = readings / (1.0 + mean_deviation(problem.network)[devices])
        at_first = scaled[:, :1].mean(axis=2)
        known = np.concatenate([at_first, scaled[rows, last, np.arange(m)].mean(axis=2)], axis=1)
    known = np.maximum(known, 1.0)  # a level of 0 would claim to be exact
    return Sources(devices, reading, slots[:, None] - last, known[rows, last]), known[:, 1:]
