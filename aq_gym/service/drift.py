"""Whether the network and the forecasts still describe the air: ADWIN on their residuals, not on raw readings.

Nothing is kept in memory. Every few slots the residuals of the last two weeks are computed from the database and run
through the detectors, so a restart changes nothing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river.drift import ADWIN

from aq_gym.estimation import deviation_covariance
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.confirm import residuals
from aq_gym.service.database import Alert, Plan
from aq_gym.service.level import reported_levels, successive_reports
from aq_gym.service.outlook import AHEAD, chain_change
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

KIND, FORECAST = "drift", "forecast"
WINDOW = 2016  # slots whose residuals count
EVERY = 36  # slots between two looks
CONFIDENCE = 0.002  # of ADWIN: smaller is slower and surer
LEAST = 0.5  # claimed deviations; smaller changes raise no alert
RECENT = 30  # values, about a day of a device that reads every 50 minutes
LARGEST = 5.0  # claimed deviations; a residual beyond counts as this
MOST_ALERTS = 10_000  # of drift, in the window
FACT = "drift_since"  # slot of the last retraining: residuals before it say nothing about what serves now
LEAST_DEVIATION = 1.0  # µg/m³; a level that was never left claims to be certain


class Change(NamedTuple):
    """A change of a stream's mean, in claimed deviations."""

    before: float
    after: float  # of the last values


def change_of(values: ArrayLike) -> Change | None:
    """What has changed, if ADWIN finds that a stream's mean did and its last values are off by `LEAST` or more."""
    detector = ADWIN(delta=CONFIDENCE, clock=1)
    stream = np.clip(np.asarray(values, dtype=np.float64), -LARGEST, LARGEST)
    found = False
    for value in stream.tolist():
        detector.update(value)
        found = found or detector.drift_detected
    if not found:
        return None
    change = Change(float(stream[:-RECENT].mean()), float(stream[-RECENT:].mean()))
    return change if abs(change.after - change.before) >= LEAST else None


def changes(settings: Settings, store: Store, until: int) -> dict[str, Change]:
    """Streams that have changed up to a slot.

    Errors of forecasts come and go with the weather, so these count once they are larger than the model claims.
    """
    found = {name: change_of(values) for name, values in streams(settings, store, until).items()}
    known = {name: change for name, change in found.items() if change is not None}
    return {name: x for name, x in known.items() if name != FORECAST or x.after > max(x.before, 1.0)}


def forecast_errors(network: SensorNetwork, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sizes of the errors of the chain's forecasts of (T,) levels, equation (8), in deviations that it claims."""
    made = levels[:-AHEAD:AHEAD]  # one every so many, so that errors do not overlap
    change, variance = chain_change(network, made)
    error = levels[AHEAD::AHEAD][: len(made)] - made - change
    return np.asarray(np.abs(error) / np.maximum(np.sqrt(variance), LEAST_DEVIATION))


def belief_errors(problem: Problem, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sizes of the errors of the belief about a hidden level at each report, in deviations that it claims.

    ``levels``: (T, M) that reports mean [µg/m³], NaN where there was none.
    """
    before, now, delay = successive_reports(problem, levels)
    mean, variance = problem.hidden_level.belief.moments(delay, before)
    places = float(np.diag(deviation_covariance(problem.network)).mean())  # what a report's place deviates by, over e²
    return np.asarray(np.abs(now - mean) / np.sqrt(variance + places * (np.square(before) + np.square(now))))


def streams(settings: Settings, store: Store, until: int) -> dict[str, NDArray[np.float64]]:
    """Residuals in claimed deviations, oldest first: each device's readings against the map, and the forecasts."""
    since = first_slot(store, until)
    found: dict[str, list[float]] = {device.id: [] for device in store.devices()}
    for residual in residuals(settings, store, since, until):
        found[residual.device].append(residual.error / residual.claim)
    problem = settings.problem
    if problem.inference == "hidden":
        errors = belief_errors(problem, reported_levels(problem, store, since, until))
    else:
        levels = np.array([x.level for x in store.levels(since, until)])
        errors = forecast_errors(problem.network, levels) if len(levels) > AHEAD else np.empty(0)
    return {**{name: np.array(x) for name, x in found.items()}, FORECAST: errors}


def first_slot(store: Store, until: int) -> int:
    """The first slot that counts."""
    return max(int(store.fact(FACT, "0")), until - WINDOW + 1)


def drifted(store: Store, until: int) -> set[str]:
    """Streams that an alert was raised for and nothing was retrained since."""
    return {alert.subject for alert in store.alerts(first_slot(store, until), MOST_ALERTS, KIND)}


def drift_alerts(settings: Settings, store: Store, plan: Plan) -> list[Alert]:
    """One alert for each stream that has changed, every `EVERY` slots."""
    if plan.slot % EVERY:
        return []
    known = drifted(store, plan.slot)
    alerts = []
    for name, change in changes(settings, store, plan.slot - 1).items():
        what = "errors of the forecast" if name == FORECAST else f"readings of {name} against the map"
        message = (
            f"{what} have changed, from {change.before:+.1f} to {change.after:+.1f} of the claimed deviation; "
            "scripts.retrain fits the network anew"
        )
        if name not in known:
            alerts.append(Alert(slot=plan.slot, kind=KIND, subject=name, message=message))
    return alerts
