"""Batches of episodes: beginning some of them, and the compiled `play` and `branch` against the environments."""

import itertools
from typing import Any

import numpy as np
import pytest

from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.episodes import Episodes, Layers
from aq_gym.network import SensorNetwork
from aq_gym.observation import COMPACT_FEATURES
from aq_gym.problem import Problem

SIZE = len(COMPACT_FEATURES)
HIDDEN = [(), (16,), (12, 20), (8, 9, 10)]


class Net:
    """A small random network in plain NumPy, and the same as `Episodes.play` takes it."""

    def __init__(self, hidden: tuple[int, ...], seed: int, observations: np.ndarray, share: float = 0.3) -> None:
        """Of the observations, ``share`` are answered with on."""
        rng = np.random.default_rng(seed)
        sizes = [SIZE, *hidden, 1]
        self.layers = [
            ((rng.normal(size=(a, b)) * (2.0 / a) ** 0.5).astype(np.float32), rng.normal(size=b).astype(np.float32))
            for a, b in itertools.pairwise(sizes)
        ]
        threshold = np.quantile(self(observations), 1.0 - share) + 1e-4  # beside it: a tie is broken by rounding
        self.layers[-1][1][:] -= threshold.astype(np.float32)
        self.widths = np.array(sizes, np.int64)
        self.weights = np.concatenate([part.reshape(-1) for layer in self.layers for part in layer])

    @property
    def packed(self) -> Layers:
        return Layers(self.widths, self.weights)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = np.atleast_2d(x).astype(np.float64)
        for i, (weight, bias) in enumerate(self.layers):
            x = x @ weight + bias
            if i + 1 < len(self.layers):
                x = np.maximum(x, 0.0)
        return x[:, 0]


def batch(arguments: dict[str, Any], k: int, seed: int) -> tuple[Episodes, np.ndarray]:
    """K episodes that have begun, and their level indices."""
    problem = Problem.create(**arguments)
    episodes = Episodes(problem, k, observation="compact")
    path = episodes.draw_path(np.random.default_rng(seed).random((k, problem.horizon + 1)))
    episodes.begin(np.arange(k), path, episodes.empty_observations())
    return episodes, path


def advance(episodes: Episodes, decisions: int, seed: int) -> np.ndarray:
    """Play some decisions at random; returns everything seen on the way."""
    rng, k = np.random.default_rng(seed), len(episodes)
    observation, seen = episodes.observe(), []
    for _ in range(decisions):
        seen.append(observation.copy())
        episodes.decide((rng.random(k) < 0.3).astype(np.int64), np.zeros(k), observation)
    return np.concatenate([*seen, observation])


def net_for(arguments: dict[str, Any], hidden: tuple[int, ...], seed: int) -> Net:
    problem = Problem.create(**arguments)
    return Net(hidden, seed, advance(batch(arguments, 32, 99)[0], problem.horizon * problem.n_devices - 1, 98))


@pytest.mark.parametrize(("seed", "hidden"), [(s, HIDDEN[s % 4]) for s in range(12)])
@pytest.mark.parametrize("head_start", [0, 7])
def test_play_is_the_networks_greedy_policy(made_up_problem: Any, seed: int, hidden: Any, head_start: int) -> None:
    arguments = made_up_problem(seed, max_devices=6)
    k = 20
    episodes, path = batch(arguments, k, seed)
    decisions = episodes.problem.horizon * episodes.problem.n_devices
    head_start = min(head_start, decisions - 1)
    net = net_for(arguments, hidden, seed)
    advance(episodes, head_start, 5)

    env = MultiDeviceVectorEnv(k, **arguments, observation="compact", autoreset_mode="Disabled")
    observation, _ = env.reset(seed=0, options={"levels": path})
    rng = np.random.default_rng(5)
    voluntary = set()
    for i in range(decisions):
        wish = rng.random(k) < 0.3 if i < head_start else net(observation) > 0.0
        voluntary |= set(wish.tolist())
        observation, _, terminated, _, info = env.step(wish.astype(np.int64))
    assert terminated.all()

    error = episodes.play(net.packed)
    np.testing.assert_allclose(error, info["average_joint_error"], rtol=1e-12)
    for name in ("energy", "delay", "record", "slot"):
        np.testing.assert_array_equal(getattr(episodes, name), info[name], err_msg=name)
    assert voluntary == {False, True} or decisions < 5, "a policy that always does the same would prove little"


@pytest.mark.parametrize(("bias", "action"), [(0.0, 0), (-1e-6, 0), (1e-6, 1)])
def test_a_gap_of_nothing_means_off(made_up_problem: Any, bias: float, action: int) -> None:
    arguments = made_up_problem(1, max_devices=4)
    episodes, path = batch(arguments, 8, 0)
    weights = np.zeros(SIZE + 1, np.float32)
    weights[-1] = bias
    env = MultiDeviceVectorEnv(8, **arguments, autoreset_mode="Disabled")
    env.reset(seed=0, options={"levels": path})
    terminated = np.zeros(8, bool)
    while not terminated.all():
        _, _, terminated, _, info = env.step(np.full(8, action))
    np.testing.assert_allclose(
        episodes.play(Layers(np.array([SIZE, 1]), weights)), info["average_joint_error"], rtol=1e-12, atol=0.0
    )


def test_playing_what_is_over_changes_nothing(made_up_problem: Any) -> None:
    arguments = made_up_problem(4)
    net = net_for(arguments, (8,), 0)
    episodes, _ = batch(arguments, 5, 0)
    first = episodes.play(net.packed)
    np.testing.assert_array_equal(episodes.play(net.packed), first)


def point_turn(point: int, head: list[int], env: MultiDeviceEnv) -> int:
    """The device that decides at a point."""
    return int((point + len(head)) % env.problem.n_devices)


def slow_gains(
    arguments: dict[str, Any], path: np.ndarray, net: Net, points: np.ndarray, head: list[int], alone: bool = False
) -> tuple[np.ndarray, np.ndarray, list[bool]]:
    """What `branch` shall return, by saving, restoring and playing every branch to the end; and which branches met."""
    env = MultiDeviceEnv(**arguments, observation="compact")
    observation, info = env.reset(seed=0, options={"levels": path})
    for action in head:
        observation, _, _, _, info = env.step(action)
    states, seen, free, done, standing, over = [], [], [], [], {}, False

    def opening(info: dict[str, Any]) -> tuple[Any, ...]:
        return *info["energy"].tolist(), *info["delay"].tolist(), *info["record"].tolist()

    while not over:
        states.append(env.get_state())
        seen.append(observation)
        free.append(info["action_mask"].tolist() == [1, 1])
        if info["turn"] == 0:
            standing[info["slot"]] = opening(info)
        done.append(int(net(observation)[0] > 0.0))
        observation, _, over, _, info = env.step(done[-1])

    features, gains, met = np.zeros((len(points), SIZE), np.float32), np.full(len(points), np.nan), []
    for i, point in enumerate(points):
        if point >= len(states):
            continue
        if not free[point]:
            continue
        features[i] = seen[point]
        totals, joined, mover = [], [], point_turn(point, head, env)
        for action in (0, 1):
            env.set_state(states[point])
            observation, _, over, _, info = env.step(action)
            joined.append(False)
            at = point
            while not over:
                joined[-1] |= info["turn"] == 0 and opening(info) == standing[info["slot"]]
                at += 1
                repeats = alone and info["turn"] != mover
                observation, _, over, _, info = env.step(done[at] if repeats else int(net(observation)[0] > 0.0))
            totals.append(info["average_joint_error"] * env.problem.horizon)
        gains[i] = totals[0] - totals[1]
        met.append(all(joined))
    return features, gains, met


def fork(
    arguments: dict[str, Any],
    hidden: tuple[int, ...],
    seed: int,
    head: int = 0,
    k: int = 5,
    n: int = 14,
    alone: bool = False,
) -> Any:
    """`branch` beside `slow_gains` at random points."""
    rng = np.random.default_rng(seed)
    net = net_for(arguments, hidden, seed)
    episodes, path = batch(arguments, k, seed)
    problem = episodes.problem
    actions = rng.integers(0, 2, head)
    for action in actions:
        episodes.decide(np.full(k, action), np.zeros(k), episodes.empty_observations())
    points = np.sort(rng.integers(problem.horizon * problem.n_devices - head, size=(k, n)), axis=1)
    expected = [slow_gains(arguments, path[i], net, points[i], actions.tolist(), alone) for i in range(k)]
    features, gains, *_ = episodes.branch(net.packed, points, alone=alone)
    gains = gains[..., 0]
    return (features, gains), (np.stack([e[0] for e in expected]), np.stack([e[1] for e in expected])), points, expected


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_branch_equals_playing_both_to_the_end(made_up_problem: Any, seed: int, alone: bool) -> None:
    head = 3 if seed % 2 else 0  # from the middle of a slot as well
    arguments = made_up_problem(seed, max_devices=4, aware=seed in (6, 9))
    head = min(head, arguments["horizon"] * len(arguments["devices"]) - 1)
    (features, gains), (slow_features, slow), points, _ = fork(arguments, HIDDEN[seed % 4], seed, head, alone=alone)
    np.testing.assert_allclose(features, slow_features, rtol=1e-6, atol=1e-12)  # sums may be reordered
    np.testing.assert_allclose(gains, slow, rtol=0.0, atol=1e-9)
    assert (np.diff(points, axis=1) == 0).any(), "the same point twice must be among them"


def test_branch_meets_every_case() -> None:
    """Forced on, forced off and free; branches that rejoin the play and branches that never do; both signs."""
    arguments = {
        "network": "pku2018",
        "devices": (0, 15, 7),
        "horizon": 16,
        "energy_budget": 4,
        "max_sleep": 5,
        "n_levels": 4,
    }
    (features, gains), (slow_features, slow), _, expected = fork(arguments, (16,), 4, k=8, n=40)
    np.testing.assert_allclose(features, slow_features, rtol=1e-6, atol=1e-12)  # sums may be reordered
    np.testing.assert_allclose(gains, slow, rtol=0.0, atol=1e-9)
    met = [x for e in expected for x in e[2]]
    assert 0.05 < np.mean(met) < 0.95, "both early stops and branches played to the end"
    names = [name for name, _, _ in COMPACT_FEATURES]
    forced = np.isnan(gains)
    assert forced.any() and not forced.all()
    assert (features[~forced][:, names.index("energy")] > 0).all() and not features[forced].any()
    assert (gains[~forced] > 0).any() and (gains[~forced] < 0).any()


def test_a_branch_that_differs_in_its_record_alone_has_not_rejoined() -> None:
    """Empty batteries and delays at their cap look the same; what was measured last does not."""
    arguments = {"network": "pku2018", "devices": (0, 15), "horizon": 12, "energy_budget": 6, "max_sleep": 2}
    net = Net((), 0, np.zeros((1, SIZE)))
    net.layers = [(np.zeros((SIZE, 1), np.float32), np.ones(1, np.float32))]  # always on, so it is out of energy early
    net.weights = np.append(np.zeros(SIZE, np.float32), np.float32(1.0))
    episodes, path = batch(arguments, 6, 0)
    points = np.tile(np.arange(14), (6, 1))
    expected = [slow_gains(arguments, path[i], net, points[i], [])[1] for i in range(6)]
    np.testing.assert_allclose(episodes.branch(net.packed, points).gains[..., 0], expected, rtol=0.0, atol=1e-9)


def slow_stretches(
    arguments: dict[str, Any], path: np.ndarray, net: Net, point: int, cuts: tuple[int, ...], alone: bool = False
) -> tuple[list[float], np.ndarray] | None:
    """What a branch with cuts that neither rejoins nor ends before the last cut shall return; None for any other."""
    env = MultiDeviceEnv(**arguments, observation="compact")
    observation, info = env.reset(seed=0, options={"levels": path})
    for _ in range(point):
        observation, _, _, _, info = env.step(int(net(observation)[0] > 0.0))
    if info["action_mask"].tolist() != [1, 1]:
        return None
    start, state, plays = (info["slot"], info["turn"]), env.get_state(), []
    done, over = [], False
    while not over:
        done.append(int(net(observation)[0] > 0.0))
        observation, _, over, _, info = env.step(done[-1])
    for action in (0, 1):
        env.set_state(state)
        at = 0
        observation, _, over, _, info = env.step(action)
        closed, play = 0.0, []
        while not over:
            if info["turn"] == 0:
                closed += info["joint_error"]
            if info["turn"] == start[1] and info["slot"] - start[0] in cuts:
                play.append((closed, observation))
            standing = (*info["energy"].tolist(), *info["delay"].tolist(), *info["record"].tolist())
            if info["turn"] == 0:
                play.append(("opening", info["slot"], standing))
            at += 1
            repeats = alone and info["turn"] != start[1]
            observation, _, over, _, info = env.step(done[at] if repeats else int(net(observation)[0] > 0.0))
        plays.append(play)
    off, on = plays
    ends = [[x for x in play if x[0] != "opening"] for play in plays]
    if len(ends[0]) < len(cuts) or set(x for x in off if x[0] == "opening") & set(x for x in on if x[0] == "opening"):
        return None
    totals = [a[0] - b[0] for a, b in zip(*ends, strict=True)]
    return np.diff(totals, prepend=0.0).tolist(), np.array([[a[1], b[1]] for a, b in zip(*ends, strict=True)])


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("seed", "aware"), [(0, False), (1, False), (2, False), (4, False), (1, True), (6, True)])
def test_cuts_show_both_plays(made_up_problem: Any, seed: int, aware: bool, alone: bool) -> None:
    arguments, cuts = made_up_problem(seed, max_devices=3, aware=aware), (1, 3)
    net = net_for(arguments, (8,), seed)
    episodes, path = batch(arguments, 6, seed)
    decisions = episodes.problem.horizon * episodes.problem.n_devices
    points = np.tile(np.arange(min(20, decisions)), (6, 1))
    found, compared = episodes.branch(net.packed, points, cuts, alone=alone), 0
    assert found.gains.shape == (*points.shape, 2) and found.tails.shape == (*points.shape, 2, 2, SIZE)
    for k, i in itertools.product(range(6), range(points.shape[1])):
        expected = slow_stretches(arguments, path[k], net, points[k, i], cuts, alone)
        if expected is None:
            continue
        compared += 1
        assert found.cut[k, i].all()
        np.testing.assert_allclose(found.gains[k, i], expected[0], rtol=0.0, atol=1e-9)
        np.testing.assert_allclose(found.tails[k, i], expected[1], rtol=1e-5, atol=1e-6)
    assert compared > 5


def test_branch_leaves_the_play_itself_alone(made_up_problem: Any) -> None:
    arguments = made_up_problem(3, max_devices=4)
    net = net_for(arguments, (8,), 0)
    played, branched = batch(arguments, 6, 1)[0], batch(arguments, 6, 1)[0]
    error = played.play(net.packed)
    branched.branch(net.packed, np.tile(np.arange(4), (6, 1)))
    np.testing.assert_allclose(branched.total_error / branched.problem.horizon, error, rtol=1e-12)
    np.testing.assert_array_equal(branched.record, played.record)


def test_points_beyond_the_end_are_no_pairs() -> None:
    arguments = {"network": "pku2018", "devices": (0, 15), "horizon": 12, "energy_budget": 6, "max_sleep": 5}
    net = net_for(arguments, (8,), 0)
    episodes, _ = batch(arguments, 2, 1)
    decisions = episodes.problem.horizon * episodes.problem.n_devices
    points = np.tile(np.append(np.arange(decisions), [decisions, decisions + 5]), (2, 1))
    features, gains, *_ = episodes.branch(net.packed, points)
    gains = gains[..., 0]
    assert np.isnan(gains[:, -2:]).all() and not features[:, -2:].any()
    np.testing.assert_array_equal(features.any(axis=2), ~np.isnan(gains))
    assert not np.isnan(gains).all()


def test_nonsense_is_refused(made_up_problem: Any) -> None:
    arguments = made_up_problem(3)
    episodes, _ = batch(arguments, 3, 0)
    widths, weights = np.array([SIZE, 4, 1]), np.zeros((SIZE + 1) * 4 + 5, np.float32)
    full = Episodes(episodes.problem, 3)
    for wrong, given in (
        (full, (widths, weights)),
        (episodes, (widths, weights[:-1])),
        (episodes, (np.array([SIZE - 1, 4, 1]), np.zeros(SIZE * 4 + 5, np.float32))),
        (episodes, (np.array([SIZE, 4]), np.zeros((SIZE + 1) * 4, np.float32))),
    ):
        with pytest.raises(ValueError, match="layers: expected 32 inputs"):
            wrong.play(Layers(*given))
        with pytest.raises(ValueError, match="layers: expected 32 inputs"):
            wrong.branch(Layers(*given), np.zeros((3, 1), np.int64))
    for points in ([[0]], [0, 0, 0], [[2, 1]] * 3, [[-1, 1]] * 3):
        with pytest.raises(ValueError, match=r"points: expected \(3, n\)"):
            episodes.branch(Layers(widths, weights), np.array(points))
    with pytest.raises(ValueError, match="branch: some episodes have not begun"):
        Episodes(episodes.problem, 3, observation="compact").branch(Layers(widths, weights), np.zeros((3, 1), np.int64))
    for cuts in ((0, 2), (3, 3), (4, 2), (1.5, 3)):
        with pytest.raises(ValueError, match=r"cuts: expected increasing numbers of slots from 1"):
            episodes.branch(Layers(widths, weights), np.zeros((3, 1), np.int64), cuts)


@pytest.mark.parametrize("aware", [False, True])
@pytest.mark.parametrize("fuse_measured", [False, True])
@pytest.mark.parametrize("shape", [(2, 1), (5, 5), (33, 2), (40, 12), (64, 5)])
def test_the_kind_of_observation_changes_nothing_else(shape: tuple[int, int], fuse_measured: bool, aware: bool) -> None:
    """Rewards, states, masks, ends and maps are the same bytes; and a restored state is observed as the played one."""
    n, m = shape
    network = SensorNetwork.synthetic(n, seed=n)
    how: dict[str, Any] = (
        {"inference": "level-aware", "level_noise": 0.2} if aware else {"fuse_measured": fuse_measured}
    )
    problem = Problem.create(network, tuple(range(0, n, n // m))[:m], 8, 3, 4, **how)
    rng, k = np.random.default_rng(n), 37
    kinds = [Episodes(problem, k, observation=kind) for kind in ("full", "compact", "per_device")]
    path, seen = kinds[0].draw_path(rng.random((k, 9))), [each.empty_observations() for each in kinds]
    for each, observation in zip(kinds, seen, strict=True):
        each.begin(np.arange(k), path, observation)
    anew = Episodes(problem, k)
    while kinds[0].slot[0] <= problem.horizon:
        anew.restore(kinds[1].copy_state([rng] * k), [rng] * k)
        assert anew.observe().tobytes() == seen[0].tobytes()
        actions, outcomes = rng.integers(0, 2, k), []
        for each, observation in zip(kinds, seen, strict=True):
            rewards, ended, forced, mask = np.zeros(k), np.zeros(k, np.int8), np.zeros(k, np.bool_), each.action_mask()
            each.decide(actions, rewards, observation, ended, forced, mask)
            outcomes.append(b"".join(x.tobytes() for x in (rewards, ended, forced, mask, *each.state)))
        assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize("observation", ["full", "compact"])
def test_beginning_some_leaves_the_others_alone(made_up_problem: Any, observation: str) -> None:
    problem = Problem.create(**made_up_problem(2, max_devices=3))
    rng = np.random.default_rng(0)
    episodes, twin = Episodes(problem, 4, observation=observation), Episodes(problem, 2, observation=observation)
    path = episodes.draw_path(rng.random((4, problem.horizon + 1)))
    episodes.begin(np.arange(4), path, episodes.empty_observations())
    for _ in range(2):
        episodes.decide(np.ones(4, np.int64), np.zeros(4), episodes.empty_observations())
    before = [x.copy() for x in episodes.state]

    observed, expected = episodes.empty_observations(), twin.empty_observations()
    observed[:] = np.nan
    chosen = np.array([1, 3])
    episodes.begin(chosen, path[[2, 0]], observed)
    twin.begin(np.arange(2), path[[2, 0]], expected)
    np.testing.assert_array_equal(observed[chosen], expected)
    assert np.isnan(observed[[0, 2]]).all()
    for now, then, new in zip(episodes.state, before, twin.state, strict=True):
        np.testing.assert_array_equal(now[[0, 2]], then[[0, 2]])
        assert now.shape[1:] == new.shape[1:]
    for name in ("slot", "turn", "capped", "energy", "delay", "record", "level", "total_error", "path"):
        np.testing.assert_array_equal(getattr(episodes, name)[chosen], getattr(twin, name))
    np.testing.assert_array_equal(episodes.action_mask()[chosen], twin.action_mask())


@pytest.mark.parametrize("kind", ["full", "compact"])
@pytest.mark.parametrize("fuse_measured", [False, True])
def test_a_state_put_in_place_is_observed_as_it_was_when_played(kind: str, fuse_measured: bool) -> None:
    env = MultiDeviceVectorEnv(
        8, horizon=20, energy_budget=3, max_sleep=8, fuse_measured=fuse_measured, observation=kind
    )
    placed = Episodes(env.problem, 8, observation=kind)
    rng = np.random.default_rng(0)
    observation, info = env.reset(seed=3)
    over = np.zeros(8, np.bool_)
    while not over.any():
        again = placed.observe_states(*(info[name] for name in ("slot", "turn", "energy", "delay", "record", "level")))
        np.testing.assert_allclose(again, observation, rtol=1e-5, atol=1e-7)
        observation, _, over, _, info = env.step(rng.integers(0, 2, 8))


def test_play_leaves_the_level_and_the_mask_of_the_end() -> None:
    problem = Problem.create("pku2018", (0, 6), 6, 2, 4)
    episodes = Episodes(problem, 3, observation="compact")
    assert episodes.action_mask().tolist() == [[1, 0]] * 3
    path = episodes.draw_path(np.random.default_rng(0).random((3, 7)))
    episodes.begin(np.arange(3), path, episodes.empty_observations())
    layers = Layers(np.array([32, 1]), np.zeros(33, np.float32))
    episodes.play(layers)
    assert episodes.action_mask().tolist() == [[1, 0]] * 3
    np.testing.assert_array_equal(episodes.level, problem.network.levels[path[:, -1]])


@pytest.mark.parametrize("fuse_measured", [False, True])
def test_looking_changes_nothing(fuse_measured: bool) -> None:
    """Also where the last batteries are emptied in a slot in whose middle somebody observes."""
    problem = Problem.create("pku2018", (0, 6, 12), 8, 2, 4, fuse_measured=fuse_measured)
    k = 64
    episodes, twin = Episodes(problem, k), Episodes(problem, k)
    rng = np.random.default_rng(0)
    path = episodes.draw_path(rng.random((k, 9)))
    for each in (episodes, twin):
        each.begin(np.arange(k), path, each.empty_observations())
    seen, expected, ours, theirs = episodes.empty_observations(), twin.empty_observations(), np.zeros(k), np.zeros(k)
    for _ in range(24):
        actions = (rng.random(k) < 0.4).astype(np.int64)
        episodes.observe()
        episodes.decide(actions, ours, seen)
        twin.decide(actions, theirs, expected)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(episodes.total_error, twin.total_error)
