"""Forecasters trained on the first part of some readings and tried on the rest."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.datasets import load_pku2018
from aq_gym.forecasting import storage
from aq_gym.forecasting.cleaning import Cleaned, clean
from aq_gym.forecasting.combined import Calibrated
from aq_gym.forecasting.evaluation import Forecasts, naive_error, roll, score, skill_interval
from aq_gym.forecasting.features import Features
from aq_gym.forecasting.forecaster import HORIZONS, Forecaster
from aq_gym.forecasting.series import Series, station_series
from aq_gym.ingestion.loading import raw_readings
from aq_gym.parameters import DEFAULT_SLOT_MINUTES
from aq_gym.periods import minutes_between

YARDSTICK = "persistence"
PEERS = ("darts-linear", "darts-boosting")
STEPS_A_DAY = 0.25  # of the adapted levels, all of a day's together


@dataclass(frozen=True)
class Split:
    """What forecasters learn from and what they are tried on."""

    fit: list[Series]
    test: list[Series]  # with the history before the first slot that counts
    begin: int  # first slot of the test series that counts
    slot_minutes: float
    cleaned: list[Cleaned]  # one a table

    @property
    def day(self) -> int:
        """Slots in a day."""
        return max(1, round(1440 / self.slot_minutes))

    def describe(self) -> str:
        """How many readings are used, and why not the others."""
        counts = Counter[str]()
        for x in self.cleaned:
            counts.update(x.counts())
        readings = sum(x.reason.size for x in self.cleaned)
        parts = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
        return f"{readings:,} readings, {readings - counts.total():,} used; not used: {parts}"


def hours_of_day(frame: pd.DataFrame) -> NDArray[np.float64] | None:
    """(T,) hours of the day where a frame of readings has times; a column ``hour`` counts hours."""
    index = frame.index
    if isinstance(index, pd.TimedeltaIndex):
        return np.asarray(index / pd.Timedelta(hours=1), dtype=np.float64) % 24.0
    if isinstance(index, pd.DatetimeIndex):
        return np.asarray(index.hour + index.minute / 60.0, dtype=np.float64)
    return None


def pku_split() -> Split:
    """Fit on the spring of pku2018, try on its summer."""
    tables = load_pku2018()[0]
    cleaned = [clean(x) for x in tables[:2]]
    spring, summer = (station_series(x.readings, stations=()) for x in cleaned)
    return Split(spring, summer, 0, 10.0, cleaned)


def file_split(
    path: Path, fit_slots: int | None, slot_minutes: float | None, target: str = "stations", clock: bool = True
) -> Split:
    """Fit on the first slots of a file, two thirds by default; try on the rest, which may read what came before.

    ``slot_minutes`` None: as the file's times are, else 10. Without ``clock`` the hour of the day is not used.
    """
    frame = pd.DataFrame(raw_readings([path], slot_minutes=slot_minutes)[0])
    steps = minutes_between(frame)
    minutes = DEFAULT_SLOT_MINUTES if slot_minutes is None else slot_minutes
    minutes = minutes if steps is None or not len(steps) else float(steps[0])
    if fit_slots is None:
        fit_slots = round(2 / 3 * len(frame))
    if not 0 < fit_slots < len(frame):
        raise ValueError(f"fit_slots: expected 1 to {len(frame) - 1} of the file's {len(frame)} slots, got {fit_slots}")
    cleaned, hours = clean(frame.to_numpy(dtype=np.float64)), hours_of_day(frame) if clock else None
    everything = station_series(cleaned.readings, hours, stations=() if target == "area" else None)
    chosen = everything if target == "area" else everything[1:]
    return Split([x[:fit_slots] for x in chosen], chosen, fit_slots, minutes, [cleaned])


def build(name: str, split: Split, seed: int = 0) -> Calibrated:
    """An untrained forecaster, calibrated."""
    if name in PEERS:
        try:
            from baselines.studies.darts_peers import DARTS
        except ImportError as error:
            raise ValueError(f"{name} needs darts: pip install 'aq-gym[peers]' ({error})") from None
        base = DARTS[name](HORIZONS)
    else:
        features = Features(clock=split.fit[0].clock is not None)
        base = storage.make_forecaster(name, features, seed, horizons=HORIZONS)
    return calibrated(base, split.day)


def calibrated(base: Forecaster, day: int) -> Calibrated:
    """A forecaster calibrated on the last two weeks, four times a day; ``day``: how many slots that has."""
    return Calibrated(base, window=14 * day, every=max(1, day // 4), rate=STEPS_A_DAY / day)


def counted(split: Split, forecaster: Forecaster) -> Forecasts:
    """Forecasts from the slots that count."""
    rolled = roll(forecaster, split.test)
    return Forecasts(rolled.quantiles[:, split.begin :], rolled.truth[:, split.begin :])


def compare(
    names: Iterable[str], split: Split, seed: int = 0, threshold: float = 75.0
) -> Iterable[tuple[str, Calibrated, Forecasts, pd.DataFrame]]:
    """Train, try and score one forecaster after another; skills are against persistence's plain median."""
    plain = storage.make_forecaster(YARDSTICK).fit(split.fit)
    yardstick = counted(split, plain)
    naive = naive_error(split.fit)
    for name in names:
        forecaster = build(name, split, seed).fit(split.fit)
        forecasts = counted(split, forecaster)
        options: dict[str, Any] = {"naive_error": naive, "threshold": threshold, "block": split.day, "seed": seed}
        table = score(forecasts, yardstick, forecaster, **options)
        yield name, forecaster, forecasts, table.assign(forecaster=name)


def by_phase(forecaster: Forecaster, forecasts: Forecasts, split: Split, phases: int, seed: int = 0) -> pd.DataFrame:
    """Skill by the origin's slot modulo ``phases``; in pku2018 readings are hourly at heart, six slots an hour."""
    rows = []
    origins = np.arange(split.begin, split.begin + forecasts.truth.shape[1])
    now = np.stack([x.level[split.begin :] for x in split.test])
    for k, horizon in enumerate(forecaster.horizons):
        error = np.abs(forecasts.truth[:, :, k] - forecasts.quantiles[:, :, k, forecaster.median])
        reference = np.abs(forecasts.truth[:, :, k] - now)
        for phase in range(phases):
            mine = (origins % phases == phase) & ~np.isnan(error + reference).any(axis=0)
            sums = error[:, mine].sum(axis=0), reference[:, mine].sum(axis=0)
            low, high = skill_interval(*sums, max(1, split.day // phases), seed)
            rows.append((horizon, phase, sums[1].mean() / len(now), 1.0 - sums[0].sum() / sums[1].sum(), low, high))
    columns = ["horizon", "phase", "persistence_mae", "skill", "skill_low", "skill_high"]
    return pd.DataFrame(rows, columns=columns)


def split_of(args: Namespace) -> Split:
    """The split that a command's arguments ask for."""
    if args.readings is None:
        return pku_split()
    return file_split(args.readings, args.fit_slots, args.slot_minutes, args.target, not args.no_clock)


def add_reading_arguments(parser: ArgumentParser) -> None:
    """The arguments of `split_of`."""
    parser.add_argument("--readings", type=Path, help="CSV file, one column per device; default: pku2018's spring")
    parser.add_argument("--fit-slots", type=int, help="slots of the file to fit on; default: the first two thirds")
    parser.add_argument(
        "--slot-minutes",
        type=float,
        help="of a slot; a file with times is averaged to it, default: as its times; without times: what it holds (10)",
    )
    parser.add_argument("--no-clock", action="store_true", help="forecasts that need no hour of the day: for a service")
    parser.add_argument("--target", choices=("area", "stations"), default="stations", help="what is forecast of a file")
