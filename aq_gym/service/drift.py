"""Whether the network and the forecasts still describe the air: ADWIN on their residuals, not on raw readings.

A residual of the network is a reading against the map of the other devices; over a day these also confirm the map.
Nothing is kept in memory. Every few slots the residuals of the last two weeks are computed from the database and run
through the detectors, so a restart changes nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from river.drift import ADWIN

from aq_gym.estimation import deviation_covariance
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.service.database import Alert, Plan
from aq_gym.service.intake import Report
from aq_gym.service.level import believed_reports, planned_levels, reported_levels
from aq_gym.service.maps import infer_map
from aq_gym.service.outlook import AHEAD, chain_change
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store

CONFIRMING = 144  # slots whose readings confirm the map
LEAST_READINGS = 20  # fewer say nothing
TOLERANCE = 2.0  # times the promised error
MOST_WORK = 20_000_000  # readings that are checked x operations of a map; so many take some seconds
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


class Confirmation(NamedTuple):
    """Errors of the map where it could be checked, over the last slots."""

    promised: float  # root mean square of the standard deviations that the map claimed [µg/m³]
    delivered: float  # root mean square of reading minus map [µg/m³]
    readings: int

    @property
    def broken(self) -> bool:
        """Whether the map was off by far more than it claimed."""
        return self.readings >= LEAST_READINGS and self.delivered > TOLERANCE * self.promised


class Residual(NamedTuple):
    """A reading against the map of its place just before it came."""

    device: str
    error: float  # reading minus map [µg/m³]
    claim: float  # standard deviation that the map and the sensor claimed of it [µg/m³]


def residuals(settings: Settings, store: Store, since: int, until: int) -> list[Residual]:
    """Check the map against the readings of some slots, in the order of slots.

    A reading is compared with the map that the other devices' readings give, with the level of its slot's plan, so it
    never confirms itself. In a very large fleet only the newest readings are checked.
    """
    return residuals_of([settings.problem], store, since, until)[0]


def residuals_of(problems: Sequence[Problem], store: Store, since: int, until: int) -> list[list[Residual]]:
    """The same for the maps of several problems, against the same readings; more may come meanwhile."""
    first = max(0, since)
    levels = {x.slot: x.level for x in store.levels(first)}
    locations = {device.id: device.location for device in store.devices()}
    readings = store.readings(first - CONFIRMING, until)
    return [_residuals(problem, readings, levels, locations) for problem in problems]


def _residuals(
    problem: Problem, readings: list[Report], levels: dict[int, float], locations: dict[str, int]
) -> list[Residual]:
    network = problem.network
    work = len(locations) if problem.inference == "paper" else len(locations) ** 2 * network.n_locations
    checked = MOST_WORK // max(1, work)
    newest: dict[str, Report] = {}
    found = []
    for k, reading in enumerate(readings):
        is_checked = k >= len(readings) - checked and reading.slot in levels
        others = [x for name, x in newest.items() if name != reading.device] if is_checked else []
        if others:
            where, age = [locations[x.device] for x in others], [reading.slot - x.slot for x in others]
            values, level, at = [x.value for x in others], levels[reading.slot], [locations[reading.device]]
            place = infer_map(problem, where, values, age, level, wanted=at)
            own = network.measurement_variance * reading.value**2  # what the reading itself is off
            claim = float(np.hypot(place.deviation[0], own**0.5))
            found.append(Residual(reading.device, reading.value - float(place.mean[0]), claim))
        newest[reading.device] = reading
    return found


def confirm(settings: Settings, store: Store, until: int) -> Confirmation:
    """How far the readings of the last slots were off the map; NaN without any."""
    found = residuals(settings, store, until - CONFIRMING, until)
    if not found:
        return Confirmation(np.nan, np.nan, 0)
    delivered, promised = (float(np.sqrt(x)) for x in np.square([(r.error, r.claim) for r in found]).mean(axis=0))
    return Confirmation(promised, delivered, len(found))


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
    """Sizes of the errors of the chain's forecasts of (T,) levels, equation (8), in deviations that it claims.

    A level that is NaN is unknown: nothing is forecast from it, and no forecast is compared with it.
    """
    made = levels[:-AHEAD:AHEAD]  # one every so many, so that errors do not overlap
    came = levels[AHEAD::AHEAD][: len(made)]
    known = ~np.isnan(made) & ~np.isnan(came)
    change, variance = chain_change(network, made[known])
    error = came[known] - made[known] - change
    return np.asarray(np.abs(error) / np.maximum(np.sqrt(variance), LEAST_DEVIATION))


def belief_errors(problem: Problem, levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sizes of the errors of the belief about a hidden level at each report, in deviations that it claims.

    ``levels``: (T, M) that reports mean [µg/m³], NaN where there was none.
    """
    before, now, mean, variance = believed_reports(problem, levels)
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
        errors = forecast_errors(problem.network, planned_levels(store, since, until))
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
