"""The level as it was and as it may become."""

from __future__ import annotations

from typing import Any

import numpy as np
from flask import Response, abort, jsonify
from flask_openapi3 import APIBlueprint, Tag
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from aq_gym.forecasting.forecaster import QUANTILES
from aq_gym.network import SensorNetwork
from aq_gym.service.database import Plan
from aq_gym.service.services import Services, services

api = APIBlueprint("outlook", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="outlook")])
FARTHEST = 18  # slots ahead
LARGEST_SLOT = 2**53


class LevelsQuery(BaseModel):
    """Which slots."""

    since: int = Field(default=0, ge=0, le=LARGEST_SLOT, description="first slot")
    limit: int = Field(default=1000, ge=1, le=10_000, description="the newest so many")


def level_quantiles(network: SensorNetwork, level: float, farthest: int = FARTHEST) -> NDArray[np.float64]:
    """Quantiles of the level by the network's own chain, equation (8): rows of P^h, each level spread over its bin.

    A level between two of the network's levels begins in both, the more in the nearer one.

    Returns:
        (farthest, Q) for 1, 2, ... slots ahead [µg/m³].
    """
    mass = start_mass(network.levels, level)
    middles = (network.levels[1:] + network.levels[:-1]) / 2.0
    first, last = 2 * network.levels[0] - middles[0], 2 * network.levels[-1] - middles[-1]
    edges = np.array([max(0.0, first), *middles, last])
    rows = np.empty((farthest, len(QUANTILES)))
    for row in rows:
        mass = mass @ network.transition
        row[:] = np.interp(QUANTILES, np.concatenate([[0.0], np.cumsum(mass)]), edges)
    return rows


def start_mass(levels: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """(L,) weights of the levels beside a level; their mean is the level."""
    above = int(np.clip(np.searchsorted(levels, level), 1, len(levels) - 1))
    share = float(np.clip((level - levels[above - 1]) / (levels[above] - levels[above - 1]), 0.0, 1.0))
    mass = np.zeros(len(levels))
    mass[above - 1 : above + 1] = 1.0 - share, share
    return mass


def chance_above(network: SensorNetwork, level: float, limit: float, farthest: int = FARTHEST) -> list[float]:
    """The chance that the level is above a limit, 1, 2, ... slots ahead."""
    mass, chances = start_mass(network.levels, level), []
    for _ in range(farthest):
        mass = mass @ network.transition
        chances.append(round(float(mass[network.levels > limit].sum()), 4))
    return chances


def outlook(here: Services, plan: Plan) -> dict[str, Any] | None:
    """The forecast from a plan's level; None before the first reading."""
    if not here.store.levels(0, 1):
        return None
    network, limit = here.settings.problem.network, here.settings.alert_level
    chances = chance_above(network, plan.level, limit)
    rows = [
        {"ahead": h, "slot": plan.slot + h, "values": [round(float(x), 2) for x in row], "exceedance": chance}
        for h, (row, chance) in enumerate(zip(level_quantiles(network, plan.level), chances, strict=True), 1)
    ]
    about = {"slot": plan.slot, "level": plan.level, "unit": "µg/m³", "model": "chain", "alert_level": limit}
    return {**about, "quantiles": list(QUANTILES), "forecast": rows}


@api.get("/forecast", summary="The level some slots ahead, with intervals")
def forecast() -> Response:
    """By the network's chain from the present level: intervals are the model's own, not calibrated."""
    here = services()
    plan = here.store.last_plan()
    found = None if plan is None else outlook(here, plan)
    if found is None:
        abort(503, "no device has reported yet")
    return jsonify(found)


@api.get("/levels", summary="The level of each slot as it was estimated then")
def levels(query: LevelsQuery) -> Response:
    """In the order of slots; those before the first reading are left out."""
    rows = services().store.levels(query.since, query.limit)
    return jsonify(
        levels=[{"slot": slot, "level": round(level, 3), "promised_error": round(e, 3)} for slot, level, e in rows]
    )
