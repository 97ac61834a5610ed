"""Exact solutions against reference values, against enumeration on tiny instances, and against play."""

import itertools
import math
import pickle
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aq_gym import SensorNetwork
from baselines.exact import one_device
from baselines.exact.evaluation import evaluate_exactly
from baselines.exact.one_device import Solution, solve
from baselines.exact.several_devices import JointSolution, solve_joint

SINGLE = (0, 60, 10, 12)
TWO = ([0, 15], 24, 4, 8)


@pytest.fixture(scope="module")
def pku() -> SensorNetwork:
    return SensorNetwork.load("pku2018")


@pytest.fixture(scope="module")
def coarse(pku: SensorNetwork) -> SensorNetwork:
    return pku.coarsen(6)


@pytest.fixture(scope="module")
def single(pku: SensorNetwork) -> Solution:
    return solve(pku, *SINGLE)


@pytest.fixture(scope="module")
def two(coarse: SensorNetwork) -> JointSolution:
    return solve_joint(coarse, *TWO)


@pytest.fixture(scope="module")
def together(coarse: SensorNetwork) -> JointSolution:
    return solve_joint(coarse, *TWO, view="joint")


# ---------------------------------------------------------------------------------------------------- tiny instances


def tiny(n_locations: int, n_levels: int, seed: int) -> SensorNetwork:
    rng = np.random.default_rng(seed)
    mean = rng.uniform(-0.3, 0.3, (n_locations, n_locations)) * (1 - np.eye(n_locations))
    variance = rng.uniform(0.001, 0.1, (n_locations, n_locations)) * (1 - np.eye(n_locations))
    transition = rng.dirichlet(np.ones(n_levels), n_levels) * (rng.random((n_levels, n_levels)) < 0.7)
    transition += np.eye(n_levels) * 0.1
    return SensorNetwork(
        measurement_variance=0.01,
        temporal_variance=float(rng.uniform(0, 400)),
        mean_relation=mean,
        variance_relation=variance,
        levels=np.cumsum(rng.uniform(5, 40, n_levels)),
        transition=transition / transition.sum(axis=1, keepdims=True),
        start=rng.dirichlet(np.ones(n_levels)),
    )


class Enumeration:
    """All devices decide at once; every sequence of actions and levels is tried. Shares no code with the solver."""

    def __init__(self, network: SensorNetwork, devices: list[int], horizon: int, budget: int, sleep: int, fuse: bool):
        self.net, self.devices, self.horizon, self.budget, self.sleep, self.fuse = (
            network,
            devices,
            horizon,
            budget,
            sleep,
            fuse,
        )
        self.value = lru_cache(maxsize=None)(self._value)
        self.error = lru_cache(maxsize=None)(self._error)

    def _error(self, delay: tuple[int, ...], record: tuple[int, ...], level: int) -> float:
        net, e, total = self.net, self.net.levels[level], 0.0
        for j in range(net.n_locations):
            weights, means = [], []
            for i, d, u in zip(self.devices, delay, record, strict=True):
                u = net.levels[u]
                v = net.measurement_variance * u * u + d * net.temporal_variance + net.variance_relation[i, j] * e * e
                weights.append(1 / v)
                means.append(u + net.mean_relation[i, j] * e)
                if i == j and d == 0 and not self.fuse:
                    weights, means = [1 / (net.measurement_variance * e * e)], [e]
                    break
            v = 1 / sum(weights)
            mean = v * sum(w * x for w, x in zip(weights, means, strict=True))
            total += math.sqrt(v + (mean - e) ** 2)
        return total / net.n_locations

    def after(self, t: int, energy: Any, delay: Any, record: Any, level: int) -> float:
        """Value of the end of slot t, its own reward included."""
        total = -self.error(delay, record, level)
        if t < self.horizon:
            delay = tuple(min(d + 1, self.sleep) for d in delay)
            for e, p in enumerate(self.net.transition[level]):
                if p:
                    total += p * self.value(t + 1, energy, delay, record, e)
        return total

    def choices(self, energy: Any, delay: Any) -> Any:
        return itertools.product(
            *([0] if p == 0 else [1] if d == self.sleep else [0, 1] for p, d in zip(energy, delay, strict=True))
        )

    def do(self, actions: Any, energy: Any, delay: Any, record: Any, level: int) -> Any:
        return (
            tuple(p - a for p, a in zip(energy, actions, strict=True)),
            tuple(0 if a else d for d, a in zip(delay, actions, strict=True)),
            tuple(level if a else u for u, a in zip(record, actions, strict=True)),
        )

    def _value(self, t: int, energy: Any, delay: Any, record: Any, level: int) -> float:
        return max(
            self.after(t, *self.do(actions, energy, delay, record, level), level)
            for actions in self.choices(energy, delay)
        )

    def expected_error(self) -> float:
        m, net = len(self.devices), self.net
        total = sum(
            net.start[a] * net.transition[a, b] * self.value(1, (self.budget,) * m, (1,) * m, (a,) * m, b)
            for a in range(net.n_levels)
            for b in range(net.n_levels)
            if net.transition[a, b]
        )
        return float(-total / self.horizon)


instances = st.tuples(
    st.integers(2, 3),  # locations
    st.integers(2, 3),  # levels
    st.integers(1, 5),  # horizon
    st.integers(1, 3),  # energy
    st.integers(1, 4),  # sleep
    st.integers(0, 10**6),  # seed
).filter(lambda x: x[3] * x[4] >= x[2])


@given(instances)
@settings(max_examples=40, deadline=None)
def test_single_device_equals_enumeration_in_every_state(instance: tuple[int, ...]) -> None:
    n, n_levels, horizon, budget, sleep, seed = instance
    network = tiny(n, n_levels, seed)
    solution, truth = (
        solve(network, n - 1, horizon, budget, sleep),
        Enumeration(network, [n - 1], *instance[2:5], False),
    )
    assert solution.expected_error == pytest.approx(truth.expected_error(), rel=1e-12)
    states = list(
        itertools.product(range(1, horizon + 1), range(budget + 1), range(1, sleep + 1), *[range(n_levels)] * 2)
    )
    t, p, d, u, e = np.array(states).T
    got = solution.value(t, p, d, network.levels[u], network.levels[e])
    want = [truth.value(t, (p,), (d,), (u,), e) for t, p, d, u, e in states]
    np.testing.assert_allclose(got, want, rtol=1e-12)


@given(instances, st.booleans())
@settings(max_examples=30, deadline=None)
def test_both_joint_views_equal_enumeration(instance: tuple[int, ...], fuse: bool) -> None:
    n, n_levels, horizon, budget, sleep, seed = instance
    horizon = min(horizon, 4)
    network = tiny(n, n_levels, seed)
    truth = Enumeration(network, [1, 0], horizon, budget, sleep, fuse).expected_error()
    for view in ("sequential", "joint"):
        got = solve_joint(network, [1, 0], horizon, budget, sleep, view=view, fuse_measured=fuse)  # type: ignore[arg-type]
        assert got.expected_error == pytest.approx(truth, rel=1e-12), view


class Turns(Enumeration):
    """Induction over the devices' turns, with the rewards of the sequential view, for any state."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.turn = lru_cache(maxsize=None)(self._turn)

    def _value(self, t: int, energy: Any, delay: Any, record: Any, level: int) -> float:
        return float(max(self.turn(0, t, energy, delay, record, level)))

    def _turn(self, m: int, t: int, energy: Any, delay: Any, record: Any, level: int) -> tuple[float, float]:
        found = [-math.inf, -math.inf]
        for on in [0] if energy[m] == 0 else [1] if delay[m] == self.sleep else [0, 1]:
            then = self.do([on * (j == m) for j in range(len(delay))], energy, delay, record, level)
            found[on] = (self.error(delay, record, level) if m else 0.0) - self.error(*then[1:], level)
            if m + 1 < len(delay):
                found[on] += max(self.turn(m + 1, t, *then, level))
            else:
                found[on] += self.after(t, *then, level) + self.error(*then[1:], level)
        return found[0], found[1]


@given(instances, st.booleans())
@settings(max_examples=12, deadline=None)
def test_joint_values_equal_induction_over_the_turns_in_every_state(instance: tuple[int, ...], fuse: bool) -> None:
    n, n_levels, horizon, budget, sleep, seed = instance
    horizon, budget, sleep = min(horizon, 4), min(budget, 2), min(sleep, 3)
    assume(budget * sleep >= horizon)
    network = tiny(n, n_levels, seed)
    solution = solve_joint(network, [1, 0], horizon, budget, sleep, fuse_measured=fuse)
    truth = Turns(network, [1, 0], horizon, budget, sleep, fuse)
    assert solution.expected_error == pytest.approx(truth.expected_error(), rel=1e-12)
    energies = itertools.product(range(budget + 1), repeat=2)
    records = itertools.product(range(n_levels), repeat=3)
    states = [
        (m, t, p, d, (u[2] if d[0] == 0 else u[0], u[1]), u[2])
        for p, u in itertools.product(energies, records)
        for t, m, *d in itertools.product(range(1, horizon + 1), (0, 1), range(sleep + 1), range(1, sleep + 1))
        if d[0] or m  # delay 0: only of the device that has decided; who sensed with all energy left is asked for, too
    ]
    want = [truth.turn(m, t, p, tuple(d), u, e) for m, t, p, d, u, e in states]
    m, t, p, d, u, e = (np.array(x) for x in zip(*states, strict=True))
    got = solution.action_values(t, p, d, network.levels[u], network.levels[e], m)
    np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize(("n_levels", "seed"), [(7, 1), (8, 2)])
def test_more_levels_than_pass_at_once(n_levels: int, seed: int) -> None:
    network = tiny(2, n_levels, seed)
    truth = Enumeration(network, [1, 0], 3, 2, 2, False).expected_error()
    assert solve_joint(network, [1, 0], 3, 2, 2).expected_error == pytest.approx(truth, rel=1e-12)


class AwareEnumeration(Enumeration):
    """The same with level-aware inference."""

    def _error(self, delay: tuple[int, ...], record: tuple[int, ...], level: int) -> float:
        levels, how = self.net.levels, {"inference": "level-aware", "level_noise": NOISE}
        found = self.net.joint_error(self.devices, delay, levels[list(record)], levels[level], **how)  # type: ignore[arg-type]
        return float(found.mean())


NOISE = 0.2


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 50))
@settings(max_examples=15, deadline=None)
def test_level_aware_optima_equal_enumeration(horizon: int, budget: int, sleep: int, seed: int) -> None:
    assume(budget * sleep >= horizon)
    network, how = SensorNetwork.synthetic(4, seed).coarsen(3), {"inference": "level-aware", "level_noise": NOISE}
    for devices in ([2], [1, 0]):
        if len(devices) > 1 and horizon > 3:
            continue
        truth = AwareEnumeration(network, devices, horizon, budget, sleep, False).expected_error()
        got = solve_joint(network, devices, horizon, budget, sleep, **how)  # type: ignore[arg-type]
        assert got.expected_error == pytest.approx(truth, rel=1e-11)
        played = evaluate_exactly(got, network, devices, horizon, budget, sleep, **how)  # type: ignore[arg-type]
        assert played == pytest.approx(truth, rel=1e-11)
    single = solve(network, 2, horizon, budget, sleep, **how)  # type: ignore[arg-type]
    truth = AwareEnumeration(network, [2], horizon, budget, sleep, False).expected_error()
    assert single.expected_error == pytest.approx(truth, rel=1e-11)


def test_three_devices_equal_enumeration() -> None:
    network = tiny(3, 2, 5)
    truth = Enumeration(network, [2, 0, 1], 3, 2, 2, False).expected_error()
    for view in ("sequential", "joint"):
        got = solve_joint(network, [2, 0, 1], 3, 2, 2, view=view)  # type: ignore[arg-type]
        assert got.expected_error == pytest.approx(truth, rel=1e-12)


def test_three_devices_out_of_energy_equal_enumeration() -> None:
    network, instance = tiny(3, 2, 6), ([2, 0, 1], 4, 1, 4)
    truth = Enumeration(network, *instance, False)
    got = solve_joint(network, *instance)
    assert got.expected_error == pytest.approx(truth.expected_error(), rel=1e-12)
    states = list(itertools.product(itertools.product(range(2), repeat=3), itertools.product(range(1, 5), repeat=3)))
    energy, delay = (np.array(x) for x in zip(*states, strict=True))
    values = got.value(2, energy, delay, network.levels[[1, 0, 1]], network.levels[0])
    np.testing.assert_allclose(values, [truth.value(2, p, d, (1, 0, 1), 0) for p, d in states], rtol=1e-12)


class Arbitrary:
    """A deterministic policy without sense: some function of the whole state, illegal actions included."""

    def act(self, observation: Any, info: Any) -> Any:
        own = np.arange(1, info["energy"].shape[1] + 1)
        mixed = info["energy"] * 3 + info["delay"] * 5 + np.rint(info["record"] * 7).astype(int)
        return ((mixed * own).sum(axis=1) + info["slot"] + info["turn"] + np.rint(info["level"]).astype(int)) % 2


@given(instances)
@settings(max_examples=30, deadline=None)
def test_exact_evaluation_equals_enumeration_for_an_arbitrary_policy(instance: tuple[int, ...]) -> None:
    n, n_levels, horizon, budget, sleep, seed = instance
    network, policy, devices = tiny(n, n_levels, seed), Arbitrary(), [n - 1, 0]

    class Follow(Enumeration):
        def _value(self, t: int, energy: Any, delay: Any, record: Any, level: int) -> float:
            for m in range(len(devices)):
                info = {
                    "slot": np.array([t]),
                    "turn": np.array([m]),
                    "energy": np.array([energy]),
                    "delay": np.array([delay]),
                    "record": network.levels[np.array([record])],
                    "level": network.levels[[level]],
                }
                wish = int(policy.act(None, info)[0])
                on = 0 if energy[m] == 0 else 1 if delay[m] == sleep else wish
                actions = [on if j == m else 0 for j in range(len(devices))]
                energy, delay, record = self.do(actions, energy, delay, record, level)
            return self.after(t, energy, delay, record, level)

    want = Follow(network, devices, horizon, budget, sleep, False).expected_error()
    got = evaluate_exactly(policy, network, devices, horizon, budget, sleep, batch=7)
    assert got == pytest.approx(want, rel=1e-12)
    assert evaluate_exactly(policy, network, devices, horizon, budget, sleep, negligible=1e-12) == pytest.approx(
        want, rel=1e-6
    )


# ---------------------------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize(
    ("device", "horizon", "budget", "sleep", "error"),
    [(0, 60, 10, 12, 12.52599), (0, 120, 20, 12, 12.58283), (0, 144, 24, 24, 12.59033)],
)
def test_reference_values(pku: SensorNetwork, device: int, horizon: int, budget: int, sleep: int, error: float) -> None:
    assert solve(pku, device, horizon, budget, sleep).expected_error == pytest.approx(error, rel=1e-6)


def test_reference_value_of_the_coarse_network(coarse: SensorNetwork) -> None:
    assert solve(coarse, 0, 24, 4, 8).expected_error == pytest.approx(12.239650, rel=1e-6)


def test_two_devices_reference_value_and_proposition_3(
    coarse: SensorNetwork, two: JointSolution, together: JointSolution
) -> None:
    assert two.expected_error == pytest.approx(7.991332889842734, rel=1e-8)
    assert together.expected_error == pytest.approx(two.expected_error, rel=1e-13)
    slot, energy, delay, record, level = random_states(coarse, two, 2000)
    np.testing.assert_allclose(
        together.value(slot, energy, delay, record, level), two.value(slot, energy, delay, record, level), rtol=1e-12
    )


def random_states(network: SensorNetwork, solution: Any, count: int) -> tuple[np.ndarray, ...]:
    rng, problem = np.random.default_rng(1), solution.problem
    shape = (count, problem.n_devices)
    return (
        rng.integers(1, problem.horizon + 1, count),
        rng.integers(0, problem.energy_budget + 1, shape),
        rng.integers(1, problem.max_sleep + 1, shape),
        rng.choice(network.levels, shape),
        rng.choice(network.levels, count),
    )


@pytest.mark.parametrize(
    ("levels", "numbers"), [(6, (20, 4, 6)), (9, (131, 12, 11)), (47, (290, 20, 15)), (2, (1, 1, 1))]
)
def test_joint_solution_of_one_device_equals_the_single_one(
    pku: SensorNetwork, levels: int, numbers: tuple[int, int, int]
) -> None:
    coarse = pku if levels == pku.n_levels else pku.coarsen(levels)
    one, many = solve(coarse, 3, *numbers), solve_joint(coarse, [3], *numbers)
    assert many.expected_error == pytest.approx(one.expected_error, rel=1e-13)
    slot, energy, delay, record, level = random_states(coarse, many, 2000)
    got = many.action_values(slot, energy, delay, record, level)
    want = one.action_values(slot, energy[:, 0], delay[:, 0], record[:, 0], level)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    info = {"slot": slot, "turn": 0 * slot, "energy": energy, "delay": delay, "record": record, "level": level}
    assert np.array_equal(one.act(None, info), many.act(None, info))


# ---------------------------------------------------------------------------------------------------- the solutions


def test_forbidden_actions_and_shapes(pku: SensorNetwork, single: Solution) -> None:
    assert single.action_values(5, 0, 12, 25.0, 35.0)[1] == -np.inf
    assert single.action_values(5, 3, 12, 25.0, 35.0)[0] == -np.inf
    assert np.isfinite(single.action_values(5, 3, 11, 25.0, 35.0)).all()
    assert np.isfinite(single.action_values(5, 0, 12, 25.0, 35.0)[0])
    values = single.action_values(np.arange(1, 61)[:, None], 4, 3, 25.0, pku.levels)
    assert values.shape == (60, 47, 2)
    assert np.array_equal(values.max(axis=-1), single.value(np.arange(1, 61)[:, None], 4, 3, 25.0, pku.levels))
    assert single.value(60, 3, 4, 25.0, 35.0).shape == ()


def test_last_slot_is_worth_its_error(pku: SensorNetwork, single: Solution) -> None:
    asleep = pku.joint_error([0], np.array([4]), np.array([25.0]), 35.0).mean()
    awake = pku.joint_error([0], np.array([0]), np.array([35.0]), 35.0).mean()
    np.testing.assert_allclose(single.action_values(60, 3, 4, 25.0, 35.0), [-asleep, -awake], rtol=1e-12)


@pytest.mark.parametrize("table_bytes", [0, one_device.MAX_DECISION_BYTES])
def test_act_takes_the_better_action(pku: SensorNetwork, monkeypatch: pytest.MonkeyPatch, table_bytes: int) -> None:
    monkeypatch.setattr(one_device, "MAX_DECISION_BYTES", table_bytes)
    solution = solve(pku, 4, 30, 5, 9)
    slot, energy, delay, record, level = random_states(pku, solution, 20_000)
    values = solution.action_values(slot, energy[:, 0], delay[:, 0], record[:, 0], level)
    info = {"slot": slot, "turn": 0 * slot, "energy": energy, "delay": delay, "record": record, "level": level}
    actions = solution.act(None, info)
    clear = np.abs(values[:, 1] - values[:, 0]) > 1e-9
    assert actions.shape == (20_000,) and 0.05 < actions.mean() < 0.95 and clear.mean() > 0.9
    assert np.array_equal(actions[clear], values.argmax(axis=-1)[clear])
    for k in range(20):
        one = solution.act(None, {name: x[k] for name, x in info.items()})
        assert isinstance(one, int) and one == actions[k]
    assert (solution._decisions is not None) == (table_bytes > 0)


def test_ties_are_resolved_as_off() -> None:
    network = SensorNetwork(
        0.01, 0.0, np.zeros((2, 2)), np.zeros((2, 2)), np.array([5.0, 9.0]), np.eye(2), np.ones(2) / 2
    )
    info = {"slot": 1, "turn": 0, "energy": [2], "delay": [1], "record": [5.0], "level": 5.0}
    assert solve(network, 0, 4, 2, 3).act(None, info) == 0
    assert solve_joint(network, [0], 4, 2, 3).act(None, info) == 0


def test_act_after_the_end_is_off(single: Solution, two: JointSolution) -> None:
    assert single.act(None, {"slot": 61, "turn": 0, "energy": [3], "delay": [12], "record": [25.0], "level": 25.0}) == 0
    level = two.problem.network.levels[2]
    over = {"slot": 25, "turn": 0, "energy": [1, 1], "delay": [8, 8], "record": [level] * 2, "level": level}
    assert two.act(None, over) == 0
    assert two.joint_actions(over).tolist() == [0, 0]


def test_sequential_values_obey_the_rewards_of_the_turns(coarse: SensorNetwork, two: JointSolution) -> None:
    slot, energy, delay, record, level = random_states(coarse, two, 3000)
    values = two.action_values(slot, energy, delay, record, level)

    def error(delay: np.ndarray, record: np.ndarray) -> np.ndarray:
        return coarse.joint_error([0, 15], delay, record, level).mean(axis=-1)

    off = np.isfinite(values[:, 0])
    assert not off[(energy[:, 0] > 0) & (delay[:, 0] == 8)].any() and off.any() and not off.all()
    later = two.value(slot, energy, delay, record, level, turn=1)
    np.testing.assert_allclose(values[off, 0], (-error(delay, record) + later)[off], rtol=1e-12)
    on = energy[:, 0] > 0
    assert np.array_equal(np.isfinite(values[:, 1]), on)
    spent, fresh, now = energy - [1, 0], delay * [0, 1], np.stack([level, record[:, 1]], axis=1)
    later = two.value(slot[on], spent[on], fresh[on], now[on], level[on], turn=1)
    np.testing.assert_allclose(values[on, 1], -error(fresh, now)[on] + later, rtol=1e-12)


def test_joint_solution_is_the_same_in_threads(coarse: SensorNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for threads in (1, 2):
        monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", threads)
        solution = solve_joint(coarse, [0, 15], 60, 5, 12)
        found.append((solution.expected_error, solution.value(*random_states(coarse, solution, 2000))))
    assert found[0][0] == found[1][0] and np.array_equal(found[0][1], found[1][1])


def test_joint_view_returns_all_decisions(coarse: SensorNetwork, two: JointSolution, together: JointSolution) -> None:
    slot, energy, delay, record, level = random_states(coarse, two, 300)
    info = {"slot": slot, "turn": 0 * slot, "energy": energy, "delay": delay, "record": record, "level": level}
    both = together.act(None, info)
    assert both.shape == (300, 2) and np.array_equal(both, two.joint_actions(info))
    assert np.array_equal(both[:, 0], two.act(None, info))
    assert together.act(None, {name: x[0] for name, x in info.items()}).tolist() == both[0].tolist()
    assert both.any() and not both.all()


def test_solutions_pickle(single: Solution) -> None:
    again = pickle.loads(pickle.dumps(single))
    assert again.expected_error == single.expected_error
    assert again.value(3, 4, 5, 25.0, 35.0) == single.value(3, 4, 5, 25.0, 35.0)


# ---------------------------------------------------------------------------------------------- exact evaluation


class Schedule:
    """Senses in given slots; `slots[m]` are those of device m."""

    def __init__(self, slots: list[set[int]]):
        self.slots = slots

    needs_observation = False

    def act(self, observation: Any, info: Any) -> Any:
        assert observation is None
        return np.array([int(t in self.slots[m]) for t, m in zip(info["slot"], info["turn"], strict=True)])


def staggered(n_devices: int, horizon: int, budget: int) -> Schedule:
    return Schedule(
        [
            {math.floor(j * horizon / budget + m * horizon / (budget * n_devices)) + 1 for j in range(budget)}
            for m in range(n_devices)
        ]
    )


def synchronised(n_devices: int, horizon: int, budget: int) -> Schedule:
    return Schedule([{round(k * horizon / (budget + 1)) for k in range(1, budget + 1)}] * n_devices)


def test_exact_evaluation_of_the_optimum_is_the_optimum(
    pku: SensorNetwork, single: Solution, coarse: SensorNetwork, two: JointSolution
) -> None:
    assert evaluate_exactly(single, pku, *SINGLE) == pytest.approx(single.expected_error, rel=1e-12)
    assert evaluate_exactly(two, coarse, *TWO) == pytest.approx(two.expected_error, rel=1e-12)


def test_exact_evaluation_of_uniform_schedules(pku: SensorNetwork, single: Solution, coarse: SensorNetwork) -> None:
    assert evaluate_exactly(staggered(1, 60, 10), pku, *SINGLE) > single.expected_error * 1.01
    assert evaluate_exactly(staggered(2, 24, 4), coarse, *TWO) == pytest.approx(10.49, abs=0.02)
    assert evaluate_exactly(synchronised(2, 24, 4), coarse, *TWO) == pytest.approx(11.79, abs=0.02)


def test_exact_evaluation_passes_what_the_vector_environment_would(coarse: SensorNetwork) -> None:
    seen: list[dict[str, Any]] = []

    class Reader:
        observation = "compact"

        def act(self, observation: Any, info: Any) -> Any:
            assert observation.shape == (info["slot"].size, 32) and observation.dtype == np.float32
            np.testing.assert_allclose(np.exp(8 * observation[:, 20]), info["level"], rtol=1e-5)
            seen.append(info)
            return info["action_mask"][:, 1]

    evaluate_exactly(Reader(), coarse, *TWO, batch=1000)
    assert {(int(i["slot"][0]), int(i["turn"][0])) for i in seen} == set(itertools.product(range(1, 25), (0, 1)))
    assert max(i["slot"].size for i in seen) <= 1000
    for info in seen:
        assert set(info) == {"slot", "turn", "energy", "delay", "record", "level", "action_mask"}
        m = info["turn"][0]
        assert info["energy"].shape == info["delay"].shape == info["record"].shape == (info["slot"].size, 2)
        assert (info["delay"][:, m:] >= 1).all() and info["action_mask"].any(axis=1).all()
        assert np.isin(info["record"], coarse.levels).all()


@pytest.mark.parametrize("answer", [2, 0.5, -1])
def test_exact_evaluation_refuses_what_is_no_action(coarse: SensorNetwork, answer: float) -> None:
    class Wrong:
        def act(self, observation: Any, info: Any) -> Any:
            return np.full(info["slot"].shape, answer)

    with pytest.raises(ValueError, match="policy"):
        evaluate_exactly(Wrong(), coarse, *TWO)


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"energy_budget": 2}, "max_sleep"),
        ({"horizon": 0}, "horizon"),
        ({"horizon": 24.0}, "horizon"),
        ({"max_sleep": True}, "max_sleep"),
        ({"energy_budget": -1}, "energy_budget"),
        ({"network": "atlantis"}, "pku2018"),
    ],
)
def test_bad_instances_are_refused(coarse: SensorNetwork, change: dict[str, Any], word: str) -> None:
    good = {"network": coarse, "horizon": 24, "energy_budget": 4, "max_sleep": 8}
    for call, devices in (
        (solve, {"device": 0}),
        (solve_joint, {"devices": [0, 15]}),
        (lambda **kw: evaluate_exactly(Schedule([set()]), **kw), {"devices": [0]}),
    ):
        with pytest.raises(ValueError, match=word):
            call(**{**good, **devices, **change})  # type: ignore[operator]


@pytest.mark.parametrize("device", [30, -1, 1.0, True, [0], "0"])
def test_bad_devices_are_refused(coarse: SensorNetwork, device: Any) -> None:
    with pytest.raises(ValueError, match="device"):
        solve(coarse, device, 24, 4, 8)
    with pytest.raises(ValueError, match="devices"):
        solve_joint(coarse, [0, device], 24, 4, 8)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"level": 26.0}, "level: 26.0 .*nearest is 25.0$"),
        ({"record": [25.0, 7.0]}, "record: 7.0"),
        ({"level": float("nan")}, "level"),
        ({"level": "high"}, "level"),
        ({"slot": 0}, "slot"),
        ({"slot": 61}, "slot"),
        ({"energy": 11}, "energy"),
        ({"energy": 1.5}, "energy"),
        ({"delay": 0}, "delay"),
        ({"delay": 13}, "delay"),
    ],
)
def test_bad_states_are_refused(single: Solution, change: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        single.value(**{"slot": 1, "energy": 3, "delay": 2, "record": 25.0, "level": 35.0, **change})


def test_bad_joint_states_are_refused(coarse: SensorNetwork, two: JointSolution) -> None:
    low, high = coarse.levels[0], coarse.levels[1]
    assert np.isfinite(two.value(1, [3, 4], [0, 1], [low, high], low, turn=1))
    with pytest.raises(ValueError, match="not decided"):
        two.value(1, [3, 4], [0, 1], [low, high], low, turn=0)
    with pytest.raises(ValueError, match="record"):
        two.value(1, [3, 4], [0, 1], [high, high], low, turn=1)
    with pytest.raises(ValueError, match="energy"):
        two.value(1, [3], [1, 1], [low, high], low)
    with pytest.raises(ValueError, match="turn"):
        two.value(1, [3, 4], [1, 1], [low, high], low, turn=2)


@pytest.mark.parametrize("inference", ["paper", "hidden"])
@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ({"batch": -1}, "batch: expected an integer of at least 1, got -1"),
        ({"batch": 2.5}, "batch: expected an integer of at least 1, got 2.5"),
        ({"negligible": 1}, "negligible: expected a probability from 0 to below 1, got 1"),
        ({"negligible": float("nan")}, "negligible: expected a probability from 0 to below 1, got nan"),
        ({"negligible": "0"}, "negligible: expected a probability from 0 to below 1, got '0'"),
        ({"negligible": 0.9}, "negligible: 0.9 drops all states, the likeliest has probability 0"),
        ({"max_bytes": float("nan")}, "max_bytes: expected a positive number of bytes, got nan"),
        ({"max_bytes": "1 GB"}, "max_bytes: expected a positive number of bytes, got '1 GB'"),
    ],
)
def test_limits_that_are_none_are_refused(
    coarse: SensorNetwork, inference: str, limit: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        evaluate_exactly(Schedule([set()]), coarse, 0, 4, 2, 4, inference=inference, **limit)
    if "max_bytes" in limit:
        for call in (solve, solve_joint):
            with pytest.raises(ValueError, match=why):
                call(coarse, 0, 4, 2, 4, inference=inference, **limit)  # type: ignore[operator]


def test_a_policy_that_cannot_act_is_refused(coarse: SensorNetwork) -> None:
    with pytest.raises(TypeError, match=r"policy: expected an object with a method act\(observation, info\), got None"):
        evaluate_exactly(None, coarse, 0, 4, 2, 4)  # type: ignore[arg-type]


def test_incomplete_info_is_refused(single: Solution) -> None:
    with pytest.raises(ValueError, match="delay, record"):
        single.act(None, {"slot": 1, "energy": [3], "level": 25.0})


def test_large_joint_instances_are_refused_before_they_start(pku: SensorNetwork, coarse: SensorNetwork) -> None:
    with pytest.raises(ValueError, match=r"states a slot.*bytes"):
        solve_joint(pku, [0, 6, 12, 18, 24], 60, 10, 12)
    with pytest.raises(ValueError, match=r"360,150 states a slot.*max_bytes=1,000"):
        solve_joint(coarse, *TWO, max_bytes=1000)
    with pytest.raises(ValueError, match="evaluate_exactly"):
        evaluate_exactly(Schedule([set()] * 2), coarse, *TWO, max_bytes=1000)
    with pytest.raises(ValueError, match="view"):
        solve_joint(coarse, *TWO, view="both")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------- play


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SingleDevice-v0", "TwoDevices-v0"])
def test_played_return_equals_the_value(name: str, single: Solution, two: JointSolution) -> None:
    solution: Any = single if name == "SingleDevice-v0" else two
    episodes = 5_000
    env = gym.make_vec(f"aq_gym:aq_gym/{name}", num_envs=episodes, vectorization_mode="vector_entry_point")
    observation, info = env.reset(seed=11)
    total = np.zeros(episodes)
    for _ in range(solution.problem.horizon * solution.problem.n_devices):
        observation, reward, terminated, _, info = env.step(solution.act(observation, info))
        total += reward
    assert terminated.all()
    error = -total / solution.problem.horizon
    assert abs(error.mean() - solution.expected_error) < 3.5 * error.std() / math.sqrt(episodes)
    np.testing.assert_allclose(error, info["average_joint_error"], rtol=1e-6)
    env.close()
