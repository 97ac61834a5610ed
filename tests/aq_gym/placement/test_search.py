"""The searches: against brute force, each other, and themselves resumed."""

import itertools
import json
from typing import Any

import numpy as np
import pytest

from aq_gym import SensorNetwork, schedules
from aq_gym.placement import (
    Fitness,
    GeneticConfig,
    GeneticSearch,
    Placement,
    clusters,
    exhaustive_search,
    greedy_search,
    level_path,
    medoid_search,
    random_search,
)

PKU = SensorNetwork.load("pku2018")


def fitness(m: int, n_slots: int = 60) -> Fitness:
    return Fitness(PKU, schedules.staggered(m, n_slots, n_slots // 6), level_path(PKU, n_slots, 0))


def test_exhaustive_search_is_brute_force() -> None:
    errors = fitness(2)
    every = {pair: float(errors(np.array([pair]))[0]) for pair in itertools.combinations(range(30), 2)}
    best = min(every, key=lambda pair: every[pair])
    done: list[tuple[int, int]] = []
    found = exhaustive_search(errors, 30, 2, watch=lambda *a: done.append(a))
    assert (found.locations, found.error, found.evaluations) == (best, every[best], 435)
    assert done == [(435, 435)] and found.history[-1][1] == found.error and found.seconds > 0


def test_the_others_come_close_to_it() -> None:
    errors = fitness(3)
    best = exhaustive_search(errors, 30, 3).error
    others: list[Placement] = [
        random_search(errors, 30, 3, count=2000, seed=0),
        medoid_search(errors, PKU, 3),
        greedy_search(errors, 30, 3),
        greedy_search(errors, 30, 3, start=[0, 1, 2]),
    ]
    for start, seed in itertools.product(("clusters", "random"), range(3)):
        config = GeneticConfig(start=start)  # type: ignore[arg-type]
        others.append(GeneticSearch(errors, 30, 3, config, seed=seed, clusters=clusters(PKU, 3, seed)).run())
    gaps = [100 * (x.error / best - 1) for x in others]
    assert min(gaps) >= 0 and max(gaps[2:]) < 0.5 and gaps[0] < 1 and gaps[1] < 10
    for x in others:
        assert x.locations == tuple(sorted(set(x.locations))) and len(x.locations) == 3
        assert x.error == pytest.approx(float(errors(np.array([x.locations]))[0]), rel=1e-12)
        assert [b for _, b in x.history] == sorted((b for _, b in x.history), reverse=True)


def test_the_genetic_search_resumes_with_the_same_result() -> None:
    labels = clusters(PKU, 4, 0)

    def search() -> GeneticSearch:
        return GeneticSearch(fitness(4), 30, 4, GeneticConfig(kept=10, drawn=10, rounds=12), seed=3, clusters=labels)

    whole, first, second = search(), search(), search()
    whole.run()
    for _ in range(5):
        first.step()
    second.restore(json.loads(json.dumps(first.state())))
    second.run()
    one, two = whole.state(), second.state()
    one.pop("seconds"), two.pop("seconds")
    assert one == two and whole.rounds == 12
    other = GeneticSearch(fitness(4), 30, 4, GeneticConfig(kept=10, drawn=10), seed=3, clusters=labels)
    with pytest.raises(ValueError, match=r"begun with other settings: config was .*'rounds': 12.*here .*'rounds': 300"):
        other.restore(first.state())


def test_genes_start_with_a_location_of_each_cluster_and_never_grow_beyond_m() -> None:
    labels = clusters(PKU, 5, 0)
    seen: list[Any] = []
    errors = fitness(5)

    def watched(sets: Any) -> Any:
        seen.append(sets)
        return errors(sets)

    search = GeneticSearch(watched, 30, 5, GeneticConfig(kept=20, drawn=20, patience=4), clusters=labels)
    search.step()
    assert all(sorted(labels[row]) == [0, 1, 2, 3, 4] for row in seen[0])
    search.run()
    rows = np.concatenate(seen)
    size = (rows >= 0).sum(axis=1)
    assert size.min() >= 1 and size.max() == 5 and (size < 5).any()
    keys = [tuple(row) for row in rows.tolist()]
    assert len(set(keys)) == len(keys) == search.evaluations, "no gene is evaluated twice"
    assert search.state()["idle"] == 4 and search.finished


def test_the_best_survive_and_the_others_are_drawn() -> None:
    search = GeneticSearch(fitness(3), 30, 3, GeneticConfig(kept=8, drawn=4, start="random"), seed=1)
    bests = [search.step() for _ in range(10)]
    assert [x.best for x in bests] == sorted((x.best for x in bests), reverse=True)
    state = search.state()
    assert len(state["genes"]) == 12 and state["values"][:8] == sorted(state["values"])[:8]
    assert bests[-1].mean >= bests[-1].best and bests[-1].rounds == 9


def test_an_interrupted_step_leaves_the_search_as_it_was() -> None:
    errors, broken = fitness(4), [False]

    def unreliable(sets: Any) -> Any:
        if broken[0]:
            raise KeyboardInterrupt
        return errors(sets)

    config = GeneticConfig(kept=10, drawn=10, rounds=6, start="random")
    whole, cut = GeneticSearch(errors, 30, 4, config, seed=3), GeneticSearch(unreliable, 30, 4, config, seed=3)
    for _ in range(3):
        cut.step()
    before = cut.state()
    broken[0] = True
    with pytest.raises(KeyboardInterrupt):
        cut.step()
    assert cut.state() == before
    broken[0] = False
    assert cut.run().locations == whole.run().locations and cut.evaluations == whole.evaluations


def test_bad_arguments_are_refused() -> None:
    errors = fitness(3)
    for wrong in (0, 31):
        for call in (
            lambda m: random_search(errors, 30, m),
            lambda m: greedy_search(errors, 30, m),
            lambda m: exhaustive_search(errors, 30, m),
            lambda m: medoid_search(errors, PKU, m),
            lambda m: GeneticSearch(errors, 30, m, GeneticConfig(start="random")),
        ):
            with pytest.raises(ValueError, match=f"n_devices: expected 1 to 30, one for each location, got {wrong}"):
                call(wrong)
    with pytest.raises(ValueError, match=r"30 choose 15 are 155,117,520 sets, more than the 10,000,000"):
        exhaustive_search(errors, 30, 15)
    with pytest.raises(ValueError, match="count: expected an integer of at least 1, got 0"):
        random_search(errors, 30, 3, count=0)
    with pytest.raises(ValueError, match=r"start: expected 3 different locations of 0..29, got \[1, 1, 2\]"):
        greedy_search(errors, 30, 3, start=[1, 1, 2])
    for labels in (None, np.zeros(30, int), np.arange(5)):
        with pytest.raises(ValueError, match=r"clusters: the start from clusters needs \(30,\) labels of 3 clusters"):
            GeneticSearch(errors, 30, 3, clusters=labels)
    with pytest.raises(RuntimeError, match="no gene was evaluated yet"):
        GeneticSearch(errors, 30, 3, GeneticConfig(start="random")).placement()


def test_numbers_that_are_no_integers_are_refused() -> None:
    errors, config = fitness(3), GeneticConfig(start="random")
    calls: list[Any] = [
        lambda m, seed: random_search(errors, 30, m, seed=seed),
        lambda m, seed: medoid_search(errors, PKU, m, seed=seed),
        lambda m, seed: GeneticSearch(errors, 30, m, config, seed=seed),
    ]
    for call in calls:
        for odd in (2.5, "3", None, True):
            with pytest.raises(ValueError, match=f"n_devices must be an integer, got {odd!r}"):
                call(odd, 0)
            with pytest.raises(ValueError, match=f"seed: expected an integer of at least 0, got {odd!r}"):
                call(3, odd)
    with pytest.raises(ValueError, match=r"start: expected 3 different locations of 0..29, got \[1.9, 2.0, 3.0\]"):
        greedy_search(errors, 30, 3, start=[1.9, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"count: expected an integer of at least 1, got 2\.5"):
        random_search(errors, 30, 3, count=2.5)  # type: ignore[arg-type]


def test_a_fitness_that_is_no_number_is_refused_and_an_infinite_one_is_never_chosen() -> None:
    errors = fitness(2)

    def searches(of: Any) -> list[Any]:
        return [
            lambda: random_search(of, 30, 2, count=500),
            lambda: greedy_search(of, 30, 2),
            lambda: exhaustive_search(of, 30, 2),
            lambda: GeneticSearch(of, 30, 2, GeneticConfig(kept=8, drawn=8, rounds=3, start="random")).run(),
        ]

    for search in searches(lambda sets: np.full(len(sets), np.nan)):
        with pytest.raises(ValueError, match=r"errors: expected a function .*NaN for the set \[\d+"):
            search()
    for search in searches(lambda sets: errors(sets)[:, None]):
        with pytest.raises(ValueError, match=r"errors: expected .* numbers, got shape \(\d+, 1\)"):
            search()
    with pytest.raises(ValueError, match="errors: genes are drawn in proportion to 1 / error, so above 0, got 0"):
        searches(lambda sets: np.zeros(len(sets)))[3]()
    allowed = [x for x in range(30) if x % 3]  # the others are forbidden
    for search in searches(lambda sets: np.where(np.isin(sets, [-1, *allowed]).all(axis=1), errors(sets), np.inf)):
        assert set(search().locations) <= set(allowed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("kept", 0), ("drawn", -1), ("flip", 0.0), ("flip", 1.0), ("patience", 0), ("rounds", 0.5)],
        *[("start", "best"), ("kept", True), ("flip", "0.1"), ("flip", True)],
    ],
)
def test_bad_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"GeneticConfig\.{name}: expected"):
        GeneticConfig(**{name: value})
