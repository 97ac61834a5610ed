"""A fitted part beside the running one, on the same held-out slots: a relative difference with its 95 % interval."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from aq_gym.forecasting.evaluation import pinball_losses, roll
from aq_gym.forecasting.forecaster import Forecaster
from aq_gym.forecasting.series import Series
from aq_gym.problem import Problem
from aq_gym.service.drift import Residual, residuals_of
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store
from aq_gym.traces import windows
from baselines.playing import play_problem
from baselines.studies.backtest.scores import change
from baselines.studies.retraining.stored import Stored

MARGIN = 1.0  # per cent that a part may be worse, at the upper end of its interval
LEAST = 3  # slots or windows; fewer say nothing


class Comparison(NamedTuple):
    """Errors of both, and by how many per cent the candidate's are above."""

    measure: str
    running: float
    candidate: float
    percent: float
    low: float
    high: float

    @property
    def taken(self) -> bool:
        """Whether the candidate is not worse."""
        return self.high <= MARGIN

    def line(self, part: str) -> str:
        """For a terminal."""
        change = f"{self.percent:+.1f} % [{self.low:+.1f}, {self.high:+.1f}]"
        what = "taken" if self.taken else "the running one stays"
        return f"{part}: {self.measure} {self.running:.3f} -> {self.candidate:.3f}, {change}: {what}"


def compare(measure: str, candidate: NDArray[np.float64], running: NDArray[np.float64], block: int) -> Comparison:
    """Errors of both, in the order of time; ``block``: how many are resampled together, those of a day.

    Raises:
        ValueError: too few.
    """
    if len(running) < LEAST:
        raise ValueError(f"database: the newest slots allow {len(running)} comparisons of the {measure}, too few")
    percent = change(candidate, running, 0, min(block, len(running) // LEAST))
    return Comparison(measure, float(running.mean()), float(candidate.mean()), *percent)


def compare_networks(settings: Settings, store: Store, stored: Stored, candidate: Problem, day: int) -> Comparison:
    """How well the map that the other devices give says what each device reads; a day has ``day`` slots."""
    since = stored.first + stored.cut
    scores = [_crps(x) for x in residuals_of([candidate, settings.problem], store, since, stored.last)]
    per_day = max(1, round(day * len(scores[0]) / (len(stored.levels) - stored.cut)))
    return compare("CRPS of the map [µg/m³]", *scores, per_day)


def _crps(found: list[Residual]) -> NDArray[np.float64]:
    """Of normal distributions: Gneiting and Raftery (2007), equation (21)."""
    error, claim = np.array([(x.error, x.claim) for x in found]).reshape(-1, 2).T
    z = error / claim
    return np.asarray(claim * (z * (2.0 * norm.cdf(z) - 1.0) + 2.0 * norm.pdf(z) - np.pi**-0.5))


def compare_agents(problem: Problem, stored: Stored, candidate: Any, running: Any, day: int) -> Comparison:
    """Both play the windows of the held-out levels; a day has ``day`` slots."""
    levels, stride = stored.levels[stored.cut :], max(1, problem.horizon // 5)
    slots = windows(len(levels), problem.horizon, stride)[:, None] + np.arange(problem.horizon + 1)
    slots = slots[~np.isnan(levels[slots]).any(axis=1)]
    paths = np.abs(levels[slots][..., None] - problem.network.levels).argmin(axis=-1)
    errors = [
        play_problem(x, problem, len(paths), 0, levels=paths).joint_error if len(paths) else np.empty(0)
        for x in (candidate, running)
    ]
    return compare("joint error [µg/m³]", *errors, -(-day // stride))


def compare_forecasters(
    stored: Stored, series: Series, candidate: Forecaster, running: Forecaster, day: int
) -> Comparison:
    """Forecasts from every held-out slot, at the horizons that both look ahead; a day has ``day`` slots."""
    shared = [h for h in candidate.horizons if h in running.horizons]
    losses = []
    for forecaster in (candidate, running):
        loss = pinball_losses(roll(forecaster, [series]), np.array(forecaster.quantiles))[0]
        losses.append(loss[stored.cut :, [forecaster.horizons.index(h) for h in shared]].mean(axis=1))
    both = ~np.isnan(losses[0] + losses[1])
    return compare("pinball loss of the forecast [µg/m³]", losses[0][both], losses[1][both], day)
