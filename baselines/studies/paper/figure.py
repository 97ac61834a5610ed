"""What every figure of the report consists of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym import datasets
from aq_gym.network import SensorNetwork


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, what was measured here, and whether they agree. Nothing of it is typed by hand."""

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
    tables: Mapping[str, pd.DataFrame]  # by the end of the file's name; "" for the plotted numbers
    draw: Callable[[Any], Any]  # takes pyplot, returns a figure
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What the figures share."""

    seed: int = 0
    quick: bool = False  # tiny sizes, for a look and for the tests
    say: Callable[[str], None] = lambda line: None

    def pick(self, full: Any, quick: Any) -> Any:
        """The full size, or the one for a quick look."""
        return quick if self.quick else full

    @cached_property
    def network(self) -> SensorNetwork:
        """Fitted to both files."""
        return SensorNetwork.load("pku2018")

    @cached_property
    def data(self) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
        """Readings of both periods, each (T, N), and the calibration, (sensors, samples) [µg/m³]."""
        return datasets.load_pku2018()
