"""Timetables of sensing that look at nothing: the two uniform ones, as power control matrices."""

import numpy as np
from numpy.typing import NDArray

from aq_gym.network_checks import as_count

MOST_ENTRIES = 1_000_000_000  # of a schedule: a byte each


def synchronised(n_devices: int, horizon: int, energy_budget: int) -> NDArray[np.bool_]:
    """(M, T): all devices sense in slots round(k T / (B + 1)), k = 1..B (Python's round: halves go to the even number).

    Column t - 1 is slot t. Where B > T slots coincide.

    Raises:
        ValueError: no integer, a number below 1, or more entries than memory holds.
    """
    _check(n_devices, horizon, energy_budget)
    schedule = np.zeros((n_devices, horizon + 1), np.bool_)
    schedule[:, [round(k * horizon / (energy_budget + 1)) for k in range(1, energy_budget + 1)]] = True
    return schedule[:, 1:]  # slot 0, where B + 1 > 2 T, is left out


def staggered(n_devices: int, horizon: int, energy_budget: int) -> NDArray[np.bool_]:
    """(M, T): device m, counted from 0, senses in slots floor(j T / B + m T / (B M)) + 1, j = 0..B-1.

    Column t - 1 is slot t. Where B > T slots coincide.

    Raises:
        ValueError: no integer, a number below 1, or more entries than memory holds.
    """
    _check(n_devices, horizon, energy_budget)
    schedule = np.zeros((n_devices, horizon), np.bool_)
    for m in range(n_devices):
        slots = [(j * n_devices + m) * horizon // (energy_budget * n_devices) for j in range(energy_budget)]
        schedule[m, slots] = True
    return schedule


def _check(n_devices: int, horizon: int, energy_budget: int) -> None:
    for name, value in (("n_devices", n_devices), ("horizon", horizon), ("energy_budget", energy_budget)):
        as_count(name, value, 1, MOST_ENTRIES)
    if n_devices * horizon > MOST_ENTRIES:
        raise ValueError(f"n_devices x horizon: expected at most {MOST_ENTRIES:,}, got {n_devices} x {horizon}")
