"""What sensing is worth: energy against the map's error, by horizon and by reports lost, where the level is hidden."""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aq_gym.network import SensorNetwork
from aq_gym.palette import MARKERS, PALETTE
from aq_gym.problem import Problem
from baselines.evaluation.comparing import compare
from baselines.evaluation.registry import build_policy
from baselines.studies.files import pyplot, save_figure
from baselines.studies.tables import markdown, with_interval

MINUTES_A_DAY = 1440
FIRST = "relay"  # what the others are compared with
POLICIES = (FIRST, "retrying-relay", "adaptive-relay")


def measure(
    network: str,
    devices: Sequence[int],
    days: Sequence[int],
    sensings: Sequence[int],
    losses: Sequence[float],
    episodes: int,
    watch: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Play `POLICIES` for all combinations; a row for each policy with the columns of `baselines.evaluate`.

    ``days`` are lengths of an episode, ``sensings`` those of a device and a day. The network says how many
    slots a day has.
    """
    air, tables = SensorNetwork.load(network), []
    day = round(MINUTES_A_DAY / air.slot_minutes)
    for length, loss, each in product(days, losses, sensings):
        watch(f"{length} days, {each} a day, {100 * loss:.0f} % lost")
        shape = length * day, each * length, day
        problem = Problem.create(air, devices, *shape, inference="hidden", loss=loss)
        policies = {word: build_policy(word, problem)[0] for word in POLICIES}
        table = compare(policies, problem, episodes, 0, observation="compact")
        tables.append(table.assign(days=length, loss=loss, sensings=each, episodes=episodes))
    return pd.concat(tables, ignore_index=True)


def table_of(table: pd.DataFrame) -> str:
    """A row for each horizon, loss and energy, in Markdown."""
    rows = []
    for (days, loss, each), part in table.groupby(["days", "loss", "sensings"], sort=False):
        error = {row.policy: row for row in part.itertuples()}
        first = error[FIRST].joint_error
        changes = []
        for word in POLICIES[1:]:
            ends = (getattr(error[word], f"difference{end}") for end in ("", "_low", "_high"))
            changes.append(with_interval(*(100.0 * x / first for x in ends), "+", 1))
        rows.append([f"{days}", f"{100 * loss:.0f}", f"{each}", f"{first:.2f}", *changes])
    heads = ["days", "lost %", "sensings a day", f"{FIRST} [µg/m³]", *(f"{word}, change %" for word in POLICIES[1:])]
    return markdown(heads, rows)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Error against sensings a day: a panel for each horizon, a line for each policy, dashed where reports are lost."""
    days = list(dict.fromkeys(table.days))
    figure, axes = pyplot().subplots(1, len(days), figsize=(4.6 * len(days), 3.8), sharey=True, layout="constrained")
    panels: Any = np.atleast_1d(axes)
    for panel, length in zip(panels, days, strict=True):
        for (policy, loss), part in table[table.days == length].groupby(["policy", "loss"], sort=False):
            number = POLICIES.index(policy)
            style: dict[str, Any] = {"color": PALETTE[number], "marker": MARKERS[number], "markersize": 5}
            label = policy + (f", {100 * loss:.0f} % lost" if loss else "")
            panel.plot(part.sensings, part.joint_error, "--" if loss else "-", label=label, **style)
        panel.set(xscale="log", xlabel="sensings of a device a day", title="a day" if length == 1 else f"{length} days")
        ticks = sorted(set(table.sensings))
        panel.set_xticks(ticks, [str(x) for x in ticks], minor=False)
        panel.minorticks_off()
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("average deviation of the map [µg/m³]")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 * len(days) - 1, frameon=False)
    save_figure(path, figure, dpi=150)
