"""An episode's moment as lines of text, at most 80 characters each."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.rendering.scene import MANY, Scene, status, title

_WIDTH = 80
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def write(scene: Scene) -> str:
    """Lines of text: slot, level, errors, and the devices one by one or summarised."""
    problem, error = scene.problem, scene.map.joint_error
    slot = min(scene.slot, problem.horizon)
    head = f"{title(problem, 30)}   slot {slot}/{problem.horizon}   {status(scene)}"
    head += "   " + _bar((scene.slot - 1) / problem.horizon, max(_WIDTH - len(head) - 3, 0))
    recent = scene.levels[~np.isnan(scene.levels)][-40:]
    trace = f"level {scene.levels[-1]:7.1f} µg/m³   {_sparkline(recent)}"
    if recent.min() < recent.max():
        trace += f"  {recent.min():.0f}–{recent.max():.0f}"
    if scene.over:
        errors = f"error of the episode {scene.error:.2f} µg/m³"
    else:
        worst = int(error.argmax())
        past = "" if scene.past_error is None else f"   so far {scene.past_error:.2f}"
        errors = f"error {scene.error:7.2f} µg/m³{past}   worst {error[worst]:.2f} at location {worst}"
    devices = _list_devices(scene) if problem.n_devices <= MANY else _summarise_devices(scene)
    return "\n".join(line.rstrip() for line in [head, trace, errors, "", *devices]) + "\n"


def _list_devices(scene: Scene) -> list[str]:
    problem = scene.problem
    budget, sleep = problem.most_energy, problem.max_sleep
    lines = [f"  {'device':>6} {'location':>9}   {'energy':<19} {'slots asleep':<17} {'record':>7} {'J':>7}"]
    for m, location in enumerate(problem.devices):
        mark = ">" if m == scene.deciding else " "
        mark += "*" if scene.delay[m] == 0 else " "
        energy = f"{_bar(scene.energy[m] / budget, 10)} {scene.energy[m]:>3}/{budget:<3}"
        delay = f"{_bar(scene.delay[m] / sleep, 8)} {scene.delay[m]:>3}/{sleep:<3}"
        j = scene.map.joint_error[location]
        lines.append(f"{mark}{m:>6} {location:>9}   {energy:<19} {delay:<17} {scene.record[m]:>7.1f} {j:>7.2f}")
    return [*lines, "", "> decides   * sensed in this slot   record, J (joint error) in µg/m³"]


def _summarise_devices(scene: Scene) -> list[str]:
    problem, budget, sleep = scene.problem, scene.problem.most_energy, scene.problem.max_sleep
    at_device = scene.map.joint_error[list(problem.devices)]
    lines = [f"{problem.n_devices} devices           {'lowest':>9} {'median':>9} {'highest':>9}   share of devices"]
    rows: list[tuple[str, NDArray[Any], int | None]] = [
        (f"energy (of {budget})", scene.energy, budget),
        (f"asleep (of {sleep})", scene.delay, sleep),
        ("record [µg/m³]", scene.record, None),
        ("J there [µg/m³]", at_device, None),
    ]
    for label, values, top in rows:
        low, high, form = (values.min(), values.max(), ".1f") if top is None else (0, top, ".0f")
        numbers = " ".join(f"{x:>9{form}}" for x in (values.min(), np.median(values), values.max()))
        if low == high:
            lines.append(f"{label:<20} {numbers}   all the same")
            continue
        each = 0 if top is None else -(-(top + 1) // 16)  # whole numbers in a bin
        bins = -(-(top + 1) // each) if top is not None else 16
        end = bins * each if each else high
        counts, _ = np.histogram(np.minimum(values, end), bins, (low, end))
        shape = "".join(_EIGHTHS[int(np.ceil(8 * c / counts.max()))] for c in counts)
        lines.append(f"{label:<20} {numbers}   {low:.0f} {shape} {high:.0f}")
    sensed, empty = int((scene.delay == 0).sum()), int((scene.energy == 0).sum())
    lines += ["", f"sensed in this slot: {sensed}   without energy: {empty}"]
    m = scene.deciding
    if m is not None:
        lines.append(
            f"device {m} at location {problem.devices[m]}: energy {scene.energy[m]}/{budget}, asleep "
            f"{scene.delay[m]}/{sleep}, record {scene.record[m]:.1f}, J {at_device[m]:.2f}"
        )
    return lines


def _bar(share: float, width: int) -> str:
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "█" * filled + "░" * (width - filled)


def _sparkline(values: ArrayLike) -> str:
    """One block a value, from the lowest to the highest of them."""
    x = np.asarray(values, dtype=np.float64)
    span = np.ptp(x)
    height = np.full(x.shape, 4) if span == 0 else np.rint(1 + 7 * (x - x.min()) / span).astype(int)
    return "".join(_EIGHTHS[h] for h in height)
