"""Which published readings make a network: what is left out is counted and given a reason, station by station."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aq_gym.forecasting.cleaning import CleaningRules, clean
from aq_gym.ingestion.stations import FURTHEST, Stations, metres_from_median, plane_origin
from aq_gym.parameters import DEFAULT_SLOT_MINUTES
from aq_gym.periods import minutes_between
from aq_gym.tables import LARGEST_READING

NEAR_ZERO, DIRTY = 1.0, 10.0  # µg/m³: below the first where the stations' median is above the second: implausible
ODD = 4.0  # a station whose median is so many times that of the others, or less than one such part, is named
WRONG_SHARE = 0.5  # a station is left out if more of what it read is implausible or stuck
_STUCK_MINUTES = 360.0
_NEVER = 2**62  # slots


@dataclass(frozen=True)
class Rules:
    """Which readings and stations are used."""

    largest: float = LARGEST_READING  # µg/m³; more than that is implausible, and so is less than 0
    stuck_slots: int | None = None  # so many equal readings in a row are not used; None: 36, or six hours if longer
    near_zero: bool = True  # below 1 µg/m³ where the stations' median is above 10 µg/m³ is implausible
    least_share: float = 0.0  # a station with fewer usable readings than this share of the slots is left out


@dataclass(frozen=True)
class Screened:
    """What stays, and what became of the rest."""

    tables: list[pd.DataFrame]  # (T, N) each [µg/m³], NaN where a reading is missing or not used
    counts: pd.DataFrame  # one row per station that stays: used, missing, implausible, stuck
    left_out: dict[str, str]  # station -> why
    degrees: NDArray[np.float64] | None  # (N, 2) longitude and latitude, if known

    def odd_stations(self) -> dict[str, float]:
        """Stations that stay but read far more or less than the others: their median over that of the others [1]."""
        medians = pd.concat(self.tables).median()
        others = {name: medians.drop(name).median() for name in medians.index}
        ratio = {str(name): float(x / others[name]) for name, x in medians.items() if others[name] > 0.0}
        return {name: x for name, x in ratio.items() if x > ODD or x < 1.0 / ODD}

    def summary(self) -> str:
        """What is used and what is left out, and why, for the user."""
        total = self.counts.sum()
        share = total["used"] / total.sum()
        lines = [f"readings: {total.sum():,} of {len(self.counts)} stations, {total['used']:,} used ({share:.1%}); "]
        lines[0] += ", ".join(f"{total[word]:,} {word}" for word in ("missing", "implausible", "stuck"))
        for why in dict.fromkeys(self.left_out.values()):
            names = [name for name, reason in self.left_out.items() if reason == why]
            more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
            lines.append(f"left out: {', '.join(names[:5])}{more}: {why}")
        for name, ratio in self.odd_stations().items():
            lines.append(
                f"warning: {name} reads {ratio:.3g} times what the others do; convert it if it is in another unit, "
                "leave it out if it is broken"
            )
        if self.degrees is not None:
            (west, south), (east, north) = self.degrees.min(axis=0), self.degrees.max(axis=0)
            lines.append(f"places: latitude {south:.3f} to {north:.3f}, longitude {west:.3f} to {east:.3f}")
        return "\n".join(lines)

    def record(self) -> dict[str, object]:
        """The same for a network's card; the stations stand in the order of its locations."""
        stations = {str(name): dict(row) for name, row in self.counts.astype(object).iterrows()}
        total = {str(word): int(n) for word, n in self.counts.sum().items()}
        about: dict[str, object] = {"counts": total, "left_out": self.left_out, "stations": stations}
        about["odd"] = self.odd_stations()
        if self.degrees is not None:
            about["origin"] = dict(zip(("longitude", "latitude"), plane_origin(self.degrees), strict=True))
        return about


def screen(
    tables: Sequence[pd.DataFrame],
    stations: Stations | None = None,
    *,
    leave_out: Sequence[str] = (),
    within: Sequence[float] | None = None,
    rules: Rules | None = None,
) -> Screened:
    """Leave out the stations that the user names, those far from the others, and readings that cannot be air.

    Args:
        tables: (T, N) raw readings of each period [µg/m³], the same columns in each.
        stations: where they stand, by name, or in the order of the columns where one of the tables has no names; None:
            not known.
        leave_out: names of stations.
        within: south, west, north and east edge of a box [degrees]; stations outside are left out.
        rules: None for the defaults.

    Raises:
        ValueError: a name that no station has, a box without known places, or fewer than two stations stay.
    """
    rules = rules or Rules()
    names = [str(name) for name in tables[0].columns]
    unknown = [name for name in leave_out if name not in names]
    if unknown:
        raise ValueError(f"leave_out: there is no station {unknown[0]!r}; the first ones are {', '.join(names[:9])}")
    if within is not None and stations is None:
        raise ValueError("within: where the stations stand is not known; give a table of stations")
    if stations is not None:
        numbered = isinstance(tables[0].columns, pd.RangeIndex)
        stations = stations.in_order(names) if numbered else stations.named(names)
    why = dict.fromkeys(leave_out, "as asked")
    if stations is not None:
        stay = [name for name in names if name not in why]
        why |= _misplaced(stay, stations.degrees[stations.rows_of(stay)], within)
    stay = _at_least_two(names, why)
    parts = [_cleaned(table.set_axis(names, axis=1)[stay], rules) for table in tables]
    counts: pd.DataFrame = sum(counts for _, counts in parts)
    slots = sum(len(table) for table in tables)
    for name, row in counts.iterrows():
        wrong, read = row["implausible"] + row["stuck"], slots - row["missing"]
        if wrong > WRONG_SHARE * read:
            why[str(name)] = f"{wrong:,} of its {read:,} readings cannot be right"
        elif row["used"] <= rules.least_share * slots:
            why[str(name)] = f"only {row['used']:,} readings in {slots:,} slots"
    used = _at_least_two(names, why)
    degrees = None if stations is None else stations.degrees[stations.rows_of(used)]
    return Screened([values[used] for values, _ in parts], counts.loc[used], why, degrees)


_COUNTS = ("used", "missing", "implausible", "stuck")


def _at_least_two(names: Sequence[str], why: dict[str, str]) -> list[str]:
    """The stations that stay."""
    stay = [name for name in names if name not in why]
    if len(stay) < 2:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(why.items())[:3])
        raise ValueError(f"{len(stay)} station(s) stay, at least 2 are needed; left out are {reasons}")
    return stay


def _misplaced(names: Sequence[str], degrees: NDArray[np.float64], within: Sequence[float] | None) -> dict[str, str]:
    """The stations far from the others, or outside the box, and why."""
    why = {}
    away = metres_from_median(degrees)
    for name, (longitude, latitude), metres in zip(names, degrees.tolist(), away.tolist(), strict=True):
        if metres > FURTHEST:
            lost = " (0, 0 is no position)" if longitude == latitude == 0.0 else ""
            why[name] = f"{metres / 1000:,.0f} km from the stations' median place{lost}"
        elif within is not None:
            south, west, north, east = within  # the box may lie across the date line
            if not (south <= latitude <= north and (longitude - west) % 360.0 <= (east - west) % 360.0):
                why[name] = "outside the box that was asked for"
    return why


def _cleaned(table: pd.DataFrame, rules: Rules) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(T, N) readings, NaN where they are not used, and (N, 4) how many are used, missing, implausible and stuck."""
    stuck = rules.stuck_slots
    if stuck is None:
        steps = minutes_between(table)
        minutes = DEFAULT_SLOT_MINUTES if steps is None else steps[0]
        stuck = max(CleaningRules.stuck_slots, round(_STUCK_MINUTES / minutes))
    plain = CleaningRules(largest=rules.largest, stuck_slots=stuck or _NEVER, outlier_score=np.inf)
    found = clean(table.to_numpy(dtype=np.float64), plain)
    values = found.readings
    median = pd.DataFrame(values).median(axis=1).to_numpy()
    low = (values < NEAR_ZERO) & (median > DIRTY)[:, None] & rules.near_zero
    values[low] = np.nan
    reasons = [~np.isnan(values), found.reason == 1, (found.reason == 2) | low, found.reason == 3]
    counts = np.stack(reasons, axis=-1).sum(axis=0)
    return pd.DataFrame(values, table.index, table.columns), pd.DataFrame(counts, table.columns, [*_COUNTS])
