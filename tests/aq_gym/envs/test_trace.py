"""The environment on real air: its windows, its checkers, its errors."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env

import aq_gym  # noqa: F401
from aq_gym import SensorNetwork, datasets
from aq_gym.registration import TRACE
from aq_gym.traces import level_trace

ID = f"aq_gym/{TRACE.name}"
SHORT = {"horizon": 6, "energy_budget": 2, "max_sleep": 4}


def air(slots: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    level = 60.0 + 30.0 * np.sin(np.arange(slots) / 9.0 + seed)
    return np.rint(level[:, None] * (1.0 + 0.05 * rng.standard_normal((slots, 30))))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two periods of readings."""
    folder = tmp_path_factory.mktemp("readings")
    for number, slots in enumerate((90, 70)):
        np.savetxt(folder / f"{number}.csv", air(slots, number), delimiter=",", fmt="%d")
    return [str(folder / "0.csv"), str(folder / "1.csv")]


def path_of(env: Any) -> Any:
    return env.unwrapped._episodes.path[0]


def test_episodes_are_windows_of_one_period(files: list[str]) -> None:
    env = gym.make(ID, readings=files, **SHORT)
    network = env.unwrapped.problem.network  # type: ignore[attr-defined]
    parts = [network.levels[level_trace(network, table).levels] for table in datasets.load_readings(files)]
    known = {tuple(part[i : i + 7]) for part in parts for i in range(len(part) - 6)}
    assert len(env.unwrapped._windows) == 84 + 64 and env.unwrapped.outside == 0  # type: ignore[attr-defined]
    seen = set()
    for seed in range(60):
        env.reset(seed=seed)
        seen.add(tuple(path_of(env)))
    assert seen <= known and len(seen) > 40
    crossing = tuple(np.concatenate([parts[0][-3:], parts[1][:4]]))
    assert crossing not in known


def test_rows_become_slots_of_the_network(tmp_path: Path) -> None:
    """Rows of ten minutes are averaged for a network of hours; rows of an hour are refused for one of ten minutes."""
    times = pd.date_range("2024-01-01", periods=180, freq="10min", name="time")
    frame = pd.DataFrame(air(180, 0), index=times)
    frame.to_csv(tmp_path / "minutes.csv")
    frame.resample("h").mean().to_csv(tmp_path / "hours.csv")
    campus = SensorNetwork.load("pku2018-spring")
    network = dataclasses.replace(campus, slot_minutes=60.0)
    for name in ("minutes", "hours"):
        env = gym.make(ID, network=network, readings=[str(tmp_path / f"{name}.csv")], **SHORT)
        assert len(env.unwrapped._windows) == 30 - 6  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"hours\.csv, row 2: from here a row every 60 minutes, but slots of 10 are"):
        gym.make(ID, network=campus, readings=[str(tmp_path / "hours.csv")], **SHORT)


def test_windows_do_not_cross_gaps(tmp_path: Path) -> None:
    x = air(40, 0)
    x[[3, 20], 2:] = np.nan
    np.savetxt(tmp_path / "gaps.csv", x, delimiter=",", fmt="%g")
    env = gym.make(ID, readings=[str(tmp_path / "gaps.csv")], **SHORT)
    assert len(env.unwrapped._windows) == 16 - 6 + 19 - 6  # type: ignore[attr-defined]  # three slots are too few
    network = env.unwrapped.problem.network  # type: ignore[attr-defined]
    known = network.levels[level_trace(network, x[21:]).levels]
    env.reset(seed=0)
    assert tuple(path_of(env)) in {tuple(known[i : i + 7]) for i in range(13)} | {
        tuple(network.levels[level_trace(network, x[4:20]).levels][i : i + 7]) for i in range(10)
    }


def test_the_public_checkers(files: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(ID, readings=files, **SHORT).unwrapped, skip_render_check=True)
        pytest.importorskip("stable_baselines3.common.env_checker").check_env(
            gym.make(ID, readings=files, **SHORT).unwrapped, skip_render_check=True
        )


def test_the_native_batch_meets_the_same_windows(files: list[str]) -> None:
    batch: Any = gym.make_vec(ID, num_envs=3, readings=files, **SHORT)
    observations, _ = batch.reset(seed=5)
    for k in range(3):
        env = gym.make(ID, readings=files, **SHORT)
        observation, _ = env.reset(seed=5 + k)
        np.testing.assert_array_equal(observations[k], observation)
        np.testing.assert_array_equal(batch.unwrapped._episodes.path[k], path_of(env))
    assert batch.unwrapped.outside == 0
    spec = gym.make(ID, readings=files, **SHORT).spec
    assert spec is not None and gym.envs.registration.EnvSpec.from_json(spec.to_json()) == spec


def test_there_is_one_future_only(files: list[str]) -> None:
    for env in (gym.make(ID, readings=files, **SHORT), gym.make_vec(ID, num_envs=2, readings=files, **SHORT)):
        own: Any = env.unwrapped
        env.reset(seed=0)
        state = own.get_state()
        own.set_state(state)
        with pytest.raises(ValueError, match="future_seed: the levels are real, so there is no other future"):
            own.set_state(state, future_seed=1)


def test_levels_outside_the_network_are_clipped_and_counted(files: list[str], tmp_path: Path) -> None:
    table = air(40, 0)
    table[7] = 900.0
    np.savetxt(tmp_path / "high.csv", table, delimiter=",", fmt="%d")
    env: Any = gym.make(ID, readings=[str(tmp_path / "high.csv")], **SHORT).unwrapped
    assert env.outside == 1
    env.reset(options={"levels": [46] * 7})
    assert env.problem.network.levels[46] == 465.0


def test_the_periods_are_spring_and_summer(pku_data: Path) -> None:
    network = SensorNetwork.load("pku2018-spring")
    for period, name in (("train", "pku2018-spring"), ("test", "pku2018-summer")):
        (table,), _ = datasets.load_pku2018(name)
        env: Any = gym.make(ID, period=period).unwrapped
        assert len(env._windows) == len(table) - 60 and env.problem.network == network
        env.reset(seed=3)
        trace = network.levels[level_trace(network, table).levels]
        windows = np.lib.stride_tricks.sliding_window_view(trace, 61)
        assert (windows == path_of(env)).all(axis=1).any()


def test_bad_arguments_are_refused(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="period: expected one of train, test, got 'autumn'"):
        gym.make(ID, period="autumn")
    with pytest.raises(ValueError, match="readings: expected a list of files"):
        gym.make(ID, readings=files[0])
    with pytest.raises(ValueError, match=r"a window of 80 \+ 1 slots is longer than the period of 70 slots"):
        gym.make(ID, readings=files, horizon=80, energy_budget=20)
    with pytest.raises(ValueError, match=r"readings: expected \(T, 20\)"):
        gym.make(ID, readings=files, network="synthetic-20-0", devices=[1, 2])
    monkeypatch.setenv("AQ_GYM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"is missing: fetch it by .*download_data"):
        gym.make(ID)


def test_players_that_draw_their_own_weather_refuse_it(files: list[str]) -> None:
    from baselines import evaluate
    from baselines.playing import native_batch

    with pytest.raises(ValueError, match=r"plays recorded readings.*scripts\.backtest"):
        native_batch(ID, 2, readings=files, **SHORT)
    with pytest.raises(ValueError, match="plays recorded readings"):
        evaluate({"staggered": "staggered"}, ID, 2, 0, readings=files, **SHORT)
