"""Fit network, agent and forecaster to what a service stored, and make a version of what is not worse."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from agents import DQNConfig
from aq_gym.calibration import rounded
from aq_gym.forecasting import storage
from aq_gym.forecasting.forecaster import Forecaster
from aq_gym.forecasting.series import Series
from aq_gym.problem import Problem
from aq_gym.service.artefacts import FORECASTER, NETWORK, POLICY, Artefacts
from aq_gym.service.level import level_series
from aq_gym.service.outlook import FARTHEST
from aq_gym.service.refit import refit
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store
from baselines.learners.run import train
from baselines.learners.shipped import load_trained
from baselines.learners.task import recipe
from baselines.learners.training import Training
from baselines.playing import described
from baselines.studies.forecasts import calibrated
from baselines.studies.provenance import commit
from baselines.studies.retraining.comparing import compare_agents, compare_forecasters, compare_networks
from baselines.studies.retraining.stored import Stored

ENV = "MultiDevice-v0"


def retrain(
    settings: Settings,
    store: Store,
    artefacts: Artefacts,
    stored: Stored,
    policy: Any,
    weights: Path | None,
    *,
    forecaster: str,
    seconds: float,
    seed: int,
) -> str:
    """Fit every part, compare it with the running one, and promote a version of what is not worse; return it.

    The policy's ``weights`` are tuned further for so many ``seconds``; without them it is a heuristic, which the
    service builds for any network. Where no forecaster runs, ``forecaster`` says which to fit.

    Raises:
        KeyboardInterrupt: the user interrupted; nothing has changed.
    """
    running, scores, day = settings.problem, {}, max(1, round(86_400 / settings.air_seconds))
    with artefacts.drafting() as draft, artefacts.drafting() as scratch:
        problem = _fitted_network(running, stored)
        scores["network"] = compare_networks(settings, store, stored, problem, day)
        problem = problem if scores["network"].taken else running
        problem.network.save(draft / NETWORK)
        file, series = artefacts.promoted().files.get(FORECASTER), level_series(problem.network, stored.levels)
        old = series[: stored.cut]
        before = fit_forecaster("chain", old, None, seed, day) if file is None else storage.load(file)
        fitted = fit_forecaster(forecaster, old, None if file is None else storage.load(file), seed, day)
        scores["forecaster"] = compare_forecasters(stored, series, fitted, before, day)
        card = {"slot_minutes": settings.air_seconds / 60.0}
        storage.save(draft / FORECASTER, fitted if scores["forecaster"].taken else before, card)
        if weights is not None:  # last: an error in another part would waste its minutes
            tuned = fine_tune(problem, draft / NETWORK, weights, seconds, seed, scratch)
            scores["agent"] = compare_agents(problem, stored, load_trained(tuned), policy, day)
            shutil.copyfile(tuned if scores["agent"].taken else weights, draft / POLICY)
        for part, score in scores.items():
            print(score.line(part))
        of_parts = {part: {**x._asdict(), "taken": x.taken} for part, x in scores.items()}
        about = {"commit": commit(), "seed": seed, "problem": described(running), "data": stored.about()}
        version = artefacts.add(draft, {**about, "scores": of_parts})
    if any(score.taken for score in scores.values()):
        artefacts.promote(version)
    return version


def _fitted_network(problem: Problem, stored: Stored) -> Problem:
    cut = stored.cut
    old = problem.network
    network = refit(old, problem.devices, stored.readings[:cut], stored.levels[:cut])
    # A belief's course is smoother than the level's, so it does not say how that moves
    if problem.inference == "hidden":
        network = dataclasses.replace(network, transition=old.transition, start=old.start)
    return dataclasses.replace(problem, network=rounded(network))


def fit_forecaster(name: str, series: Series, running: Forecaster | None, seed: int, day: int) -> Forecaster:
    """The running forecaster updated, or a new one of a name; a day has so many slots."""
    if running is not None:
        return running.update([series])
    base = storage.make_forecaster(name, seed=seed, horizons=range(1, FARTHEST + 1))
    return calibrated(base, day).fit([series])


def fine_tune(problem: Problem, network: Path, weights: Path, seconds: float, seed: int, folder: Path) -> Path:
    """Steps of policy iteration from a policy's weights, or a new agent where the network is one that cannot be tuned.

    Returns:
        The policy's file.

    Raises:
        KeyboardInterrupt: the user interrupted.
    """
    start = load_trained(weights).network
    sizes = hidden_sizes(start)
    settings = recipe(ENV, seconds)["settings"]
    if sizes is not None:
        settings = {**recipe(ENV)["settings"], "start": "random", "improve_from": "learned", "hidden": sizes}
    arguments = {"network": str(network), **described(problem)}
    training = Training(ENV, DQNConfig.named("default", **settings), seed, folder, **arguments)
    training.prepare(seconds)
    if sizes is not None:
        agent = training.agent
        agent.adopt(start)
        agent.decisions = agent.config.total_decisions  # nothing is learned from returns: pairs alone improve it
        agent.keep_best(training.validate())
    train(training, seconds=seconds)
    if training.interrupted:
        raise KeyboardInterrupt
    return folder / POLICY


def hidden_sizes(network: Any) -> list[int] | None:
    """Sizes of the hidden layers, if the network is one that the recipe makes."""
    weights = network.state_dict()
    if "advantage_head.weight" not in weights or "trunk.0.weight" not in weights:
        return None
    return [len(x) for name, x in weights.items() if name.startswith("trunk.") and name.endswith(".weight")]
