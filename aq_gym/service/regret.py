"""What the served policy's map costs beside another policy's, on the levels that the service went through."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aq_gym.envs.infos import raw_state
from aq_gym.episodes import Episodes
from aq_gym.policy import Policy, observation_of
from aq_gym.problem import Problem
from aq_gym.service.level import reported_levels
from aq_gym.service.planning_state import PlanningState
from aq_gym.service.store import Store

EPISODES = 32  # over which lost reports are averaged
Slots = list[tuple[int, float, float]]  # slot, level and promised error [µg/m³] of the plans of a cycle


def replay(problem: Problem, policy: Policy, levels: ArrayLike) -> float:
    """The average joint error of an episode on given levels [µg/m³]; where reports get lost, the mean of several.

    ``levels``: (T + 1,) of slots 0 to T; they need not be levels of the network's chain [µg/m³].
    """
    count = EPISODES if problem.loss else 1
    episode = Episodes(problem, count, observation=observation_of(policy))
    episode.path[...] = levels
    if problem.loss:
        lost = episode.state.path[:, problem.horizon + 1 :]
        lost[...] = np.random.default_rng(0).random(lost.shape) < problem.loss
    energy, ones = np.tile(problem.energies, (count, 1)), np.ones((count, problem.n_devices), np.int64)
    first, second = episode.path[:, 0].copy(), episode.path[:, 1].copy()
    observation = episode.observe_states(1, 0, energy, ones, first[:, None] * ones, second)
    while int(episode.slot[0]) <= problem.horizon:
        action = policy.act(observation, raw_state(episode, episode.action_mask()))
        episode.decide(np.asarray(action, np.int64).reshape(count), np.empty(count), observation)
    return float(episode.total_error.mean()) / problem.horizon


def reported(problem: Problem, store: Store, cycle: Slots) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A hidden level's course and the errors of the maps in a cycle, from the reports that came, each (T + 1,) [µg/m³].

    In a slot without a report the level is what was believed.
    """
    plan = store.plan(cycle[0][0])
    state = PlanningState.first(problem) if plan is None else PlanningState.from_json(plan.state)
    levels, errors = np.array([level for _, level, _ in cycle]), np.empty(len(cycle))
    for t, row in enumerate(reported_levels(problem, store, cycle[0][0], cycle[-1][0])):
        came = ~np.isnan(row)
        state.delay[came], state.record[came] = 0, row[came]
        levels[t] = row[came].mean() if came.any() else levels[t]
        delay = np.minimum(state.delay, problem.longest_delay)
        errors[t] = problem.infer(delay, state.record, levels[t]).joint_error.mean()
        state.delay += 1
    return levels, errors


def regret_percent(problem: Problem, store: Store, yardstick: Policy, cycle: Slots) -> float:
    """The average joint error of a cycle above the yardstick's on the same levels [%]."""
    if problem.inference == "hidden":
        levels, errors = reported(problem, store, cycle)
    else:
        levels, errors = (np.array(x) for x in list(zip(*cycle, strict=True))[1:])
        levels[0] = levels[1]  # the records of slot 0 are the level of slot 1
    return 100.0 * (float(errors[1:].mean()) / replay(problem, yardstick, levels) - 1.0)
