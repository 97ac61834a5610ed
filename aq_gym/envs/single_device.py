"""The single-device problem (V-A): the sequential view with M = 1."""

import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.network import SensorNetwork


class SingleDeviceEnv(MultiDeviceEnv):
    """One battery-limited device decides in every slot whether to sense; the exact optimum is known.

    ## Description
    The paper's V-A: one device at one of N locations, B sensings, T slots. Exact dynamic programming solves it
    (``baselines.dynamic_programming.solve``), so the regret of any policy can be measured.

    ## State
    (t, p, d, u, e): slot, energy, slots since it last sensed, level when it last sensed, present level.

    ## Action Space
    ``Discrete(2)``: 0 off, 1 on; forced actions as in `MultiDeviceEnv`.

    ## Observation Space
    ``Box`` of 2N + 10 float32, the sequential view's with M = 1; ``"compact"`` and ``"per_device"`` as there.

    ## Rewards
    Minus the average joint error of the slot after the decision [µg/m³]; γ = 1.

    ## Starting State
    (1, B, 1, e_0, e_1), e_0 ~ ``start``, e_1 ~ P[e_0].

    ## Episode End
    After slot T: ``terminated``, never ``truncated``.

    ## Info
    As in `MultiDeviceEnv`; device quantities have shape (1,). With a hidden level ``level`` is what the server believes
    of it.

    ## Units
    Concentrations and errors in µg/m³, time in slots of 10 minutes, energy in sensings.

    ## Arguments
    With the defaults of this class. Those that an id sets instead: ``gym.spec(id).kwargs``.

    - ``network="pku2018"``, ``device=0``, ``horizon=60``, ``energy_budget=10``, ``max_sleep=12``, ``n_levels=None``,
      ``fuse_measured=False``, ``observation="full"``, ``render_mode=None``, ``inference="paper"``,
      ``level_noise=0.0``, ``belief="grown"``, ``loss=0.0``, ``energy_budgets=None``, ``harvest=None``,
      ``reveal=False``, ``decide="slot"``: as in `MultiDeviceEnv`; ``device`` is the one location that holds a device.

    ## Version History
    - v0: first release.

    Raises:
        ValueError: an argument is of the wrong type or out of range; the message names it and what would be right.
    """

    def __init__(
        self,
        network: SensorNetwork | str | os.PathLike[str] = "pku2018",
        device: int = 0,
        horizon: int = 60,
        energy_budget: int = 10,
        max_sleep: int = 12,
        n_levels: int | None = None,
        fuse_measured: bool = False,
        observation: str = "full",
        render_mode: str | None = None,
        inference: str = "paper",
        level_noise: float = 0.0,
        belief: str = "grown",
        loss: float = 0.0,
        energy_budgets: Sequence[int] | None = None,
        harvest: Sequence[float] | None = None,
        reveal: bool = False,
        decide: str = "slot",
    ) -> None:
        how: tuple[Any, ...] = horizon, energy_budget, max_sleep, n_levels, fuse_measured, observation, render_mode
        how += inference, level_noise, belief, loss, energy_budgets, harvest, reveal, decide
        super().__init__(network, single_location(device), *how)  # in the order of `SensingEnv`


def single_location(device: object) -> int:
    """An integer location, for views that take one device.

    Raises:
        ValueError: not an integer.
    """
    if isinstance(device, bool) or not isinstance(device, Integral):
        raise ValueError(f"device: expected one integer location, got {type(device).__name__} {device!r}")
    return int(device)
