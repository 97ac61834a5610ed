"""Forecasts in the service: by a stored forecaster where one is given, by the chain where it cannot say anything."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("crepes", reason="needs pip install 'aq-gym[forecasting]'")

from aq_gym.forecasting import storage
from aq_gym.forecasting.combined import Calibrated
from aq_gym.forecasting.features import Features
from aq_gym.forecasting.forecaster import Drift
from aq_gym.forecasting.series import Series
from aq_gym.problem import Problem
from aq_gym.service.app import create_app
from aq_gym.service.intake import Report
from aq_gym.service.outlook import HISTORY, Outlook, chain_forecast, load_forecaster
from aq_gym.service.services import Services
from aq_gym.service.store import Level

Make = Callable[..., Services]


def air(n_slots: int) -> np.ndarray:
    return 60.0 + np.cumsum(np.random.default_rng(1).normal(0.0, 2.0, n_slots))


def series(n_slots: int) -> Series:
    level = air(n_slots)
    return Series(level, level, 0.2 * level, np.arange(n_slots) / 6 % 24)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated forecaster of slots of ten minutes that looks some slots back."""
    forecaster = Calibrated(Drift(), window=100).fit([series(400)])
    return storage.save(tmp_path_factory.mktemp("f") / "drift.zip", forecaster, {"slot_minutes": 10.0})


def test_the_forecast_is_the_forecasters(make_services: Make, stored: Path) -> None:
    services = make_services(slot=99)
    forecaster = load_forecaster(stored, 600.0)
    outlook, models = Outlook(services.settings, services.store, forecaster), []
    for slot, level in enumerate(air(60)):
        plan = services.controller.plan_until(slot)[-1]
        services.store.add_readings([Report(f"device_{m}", slot, float(level)) for m in range(3)])
        found = outlook.of(services.store.present())
        models += [found["model"]] if found else []
    assert models[0] == "chain" and models[-1] == "calibrated", "a short history is the chain's"
    known = [x.level for x in services.store.levels(0)]
    padded = np.concatenate([np.full(HISTORY - len(known), np.nan), known])
    want = forecaster.predict(Series(padded, padded, padded))[0]
    assert [x["ahead"] for x in found["forecast"]] == list(forecaster.horizons)
    assert [x["slot"] - plan.slot for x in found["forecast"]] == list(forecaster.horizons)
    assert np.array([x["values"] for x in found["forecast"]]) == pytest.approx(want, abs=0.006)
    for x in found["forecast"]:  # the chance is read off the quantiles
        exceeded = [q for q, value in zip(found["quantiles"], x["values"], strict=True) if value > 75.0]
        assert x["exceedance"] == pytest.approx(1.0 - min(exceeded, default=1.0), abs=0.3)


def test_without_a_forecaster_the_answer_says_chain(make_services: Make) -> None:
    services = make_services(slot=9)
    services.controller.plan_until(0)
    services.store.add_readings([Report("device_0", 0, 50.0)])
    services.controller.plan_until(1)
    assert create_app(services).test_client().get("/api/v1/forecast").json["model"] == "chain"


def test_above_all_levels_of_the_network_the_excess_stays(problem: Problem) -> None:
    highest = float(problem.network.levels[-1])
    at, above = (chain_forecast(problem.network, highest + x, highest + 60.0) for x in (0.0, 100.0))
    for (_, row, chance), (_, higher, likely) in zip(at, above, strict=True):
        assert higher == pytest.approx(row + 100.0)
        assert chance == 0.0 <= likely
    assert above[0][2] > 0.0, "what is exceeded by far now does not end for sure"


def test_a_forecaster_that_does_not_fit_is_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"made for slots of 10\.0 minutes, but the service's take 60"):
        load_forecaster(stored, 3600.0)
    third = storage.save(tmp_path / "third.zip", Drift().fit([series(400)]), {"slot_minutes": 1.6667})
    assert load_forecaster(third, 100.0).horizons == Drift().horizons
    with_clock = storage.make_forecaster("ridge", Features(clock=True)).fit([series(400)])
    path = storage.save(tmp_path / "clock.zip", with_clock, {"slot_minutes": 10.0})
    with pytest.raises(ValueError, match="cannot be served; clock"):
        load_forecaster(path, 600.0)


class Ahead(Drift):
    """Knows a rising level: every forecast is the level plus ``rise`` a slot."""

    rise = 0.0

    def predict(self, series: Series, origins: np.ndarray | None = None) -> np.ndarray:
        chosen = np.arange(len(series)) if origins is None else origins
        guess = series.level[chosen, None] + self.rise * np.array(self.horizons)
        return np.repeat(guess[:, :, None], len(self.quantiles), axis=2)


@pytest.mark.parametrize(("rise", "skill"), [(0.0, 0.0), (0.5, 1.0), (0.25, 0.5), (1.5, -1.0)])
def test_skill_is_what_the_forecasts_were_better_than_persistence_by(
    make_services: Make, rise: float, skill: float
) -> None:
    services, forecaster = make_services(slot=99), Ahead()
    forecaster.rise = rise
    outlook = Outlook(services.settings, services.store, forecaster)
    rows = [Level(slot, 40.0 + 0.5 * slot, 1.0, 1.0) for slot in range(60)]
    services.store.levels = lambda since, until: [x for x in rows if since <= x.slot <= until]  # type: ignore[assignment, method-assign]
    assert outlook.skill(59) == pytest.approx(skill)
    assert np.isnan(outlook.skill(30)), "too few"


def test_the_chains_and_the_beliefs_skill(make_services: Make) -> None:
    services = make_services(slot=99)
    for slot, level in enumerate(air(60)):
        services.controller.plan_until(slot)
        services.store.add_readings([Report(f"device_{m}", slot, float(level)) for m in range(3)])
    skill = services.outlook.skill(59)
    assert -3.0 < skill < 1.0
    assert f"aq_forecast_skill {skill}" in create_app(services).test_client().get("/metrics").text

    problem = services.settings.problem
    sizes = problem.horizon, problem.energy_budget, problem.max_sleep
    hidden = Problem.create("pku2018", problem.devices, *sizes, inference="hidden")
    believed = Outlook(dataclasses.replace(services.settings, problem=hidden), services.store)
    assert -3.0 < believed.skill(59) < 1.0 and believed.skill(59) != skill
