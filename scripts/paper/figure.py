"""What every figure of the report is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym import datasets
from aq_gym.network import SensorNetwork

# Okabe and Ito's colours, which the colour-blind tell apart.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")


@dataclass(frozen=True)
class Claim:
    """What the paper says, what was measured here, and whether they agree; computed, never typed."""

    says: str
    measured: str
    agrees: bool
    why: str = ""

    @property
    def verdict(self) -> str:
        """One word."""
        return "agrees" if self.agrees else "differs"


@dataclass(frozen=True)
class Figure:
    """One figure: its claims, its numbers and its picture."""

    number: int
    title: str
    setting: str
    claims: tuple[Claim, ...]
    tables: Mapping[str, pd.DataFrame]  # by the end of the file's name, "" for the plotted numbers
    draw: Callable[[Any], Any]  # from pyplot to a figure
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Context:
    """What the figures share."""

    seed: int = 0
    quick: bool = False  # tiny sizes, for a look and for the tests
    say: Callable[[str], None] = lambda line: None

    def pick(self, full: Any, quick: Any) -> Any:
        """A size for the real thing, or for a quick look."""
        return quick if self.quick else full

    @cached_property
    def network(self) -> SensorNetwork:
        """Fitted to both files."""
        return SensorNetwork.load("pku2018")

    @cached_property
    def data(self) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
        """Readings of both periods, each (T, N), and the calibration, (sensors, samples) [µg/m³].

        Raises:
            FileNotFoundError: the data set is not there; the message says how to get it.
        """
        readings, calibration = datasets.load_pku2018()
        return list(readings), np.asarray(calibration)
