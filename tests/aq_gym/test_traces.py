"""Real readings as level paths."""

from typing import Any

import numpy as np
import pytest

from aq_gym import SensorNetwork, datasets
from aq_gym.traces import level_trace, level_traces, level_windows, windows

PKU = SensorNetwork.load("pku2018")


def table(*means: float) -> Any:
    spread = np.linspace(-3.0, 3.0, 30)
    return np.array(means)[:, None] + spread


def test_levels_are_those_of_the_fit() -> None:
    trace = level_trace(PKU, table(3.0, 9.999, 10.0, 14.0, 25.0, 464.9))
    assert PKU.levels[trace.levels].tolist() == [5.0, 5.0, 15.0, 15.0, 25.0, 465.0]
    assert trace.outside == 0
    clipped = level_trace(PKU, table(-1.0, 480.0, 469.0))
    assert PKU.levels[clipped.levels].tolist() == [5.0, 465.0, 465.0] and clipped.outside == 2


def test_stretches_between_gaps() -> None:
    x = table(15.0, 25.0, 35.0, 45.0, 55.0)
    x[1, :16] = np.nan  # more than half of the devices
    x[3, 4:9] = np.nan
    stretches = [PKU.levels[trace.levels].tolist() for trace in level_traces(PKU, x)]
    assert stretches == [[15.0], [35.0, 45.0, 55.0]]
    with pytest.raises(ValueError, match="in no slot were half of the devices read"):
        level_traces(PKU, np.full((3, 30), np.nan))
    with pytest.raises(ValueError, match="row 1, column 0 is nan"):
        level_trace(PKU, x)


def test_the_real_trace_has_the_statistics_of_the_chain(pku_data: Any) -> None:
    readings, _ = datasets.load_pku2018()
    network = SensorNetwork.load("pku2018")
    traces = [level_trace(network, part) for part in readings]
    assert not any(trace.outside for trace in traces)
    counts = np.bincount(np.concatenate([trace.levels for trace in traces]), minlength=network.n_levels)
    np.testing.assert_allclose(counts / counts.sum(), network.start, atol=1e-12)


def test_windows_never_cross_the_gap_between_two_periods() -> None:
    one, two = table(*np.arange(10.0, 110.0, 10.0)), table(*np.arange(300.0, 370.0, 10.0))
    paths = level_windows(PKU, [one, two], horizon=3)
    assert paths.shape == (2 + 1, 4)
    assert PKU.levels[paths[:, 0]].tolist() == [15.0, 55.0, 305.0]
    assert level_windows(PKU, [one], 3, stride=1).shape == (7, 4)
    assert windows(4, 3).tolist() == [0]


def test_bad_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"readings: expected \(T, 30\).*'pku2018', got shape \(5, 29\)"):
        level_trace(PKU, np.zeros((5, 29)))
    bad = table(10.0, 20.0)
    bad[1, 4] = np.nan
    with pytest.raises(ValueError, match="readings: row 1, column 4 is nan"):
        level_trace(PKU, bad)
    with pytest.raises(ValueError, match=r"horizon: a window of 60 \+ 1 slots is longer than the period of 60 slots"):
        windows(60, 60)
    with pytest.raises(ValueError, match="stride: expected at least 1 slot, got 0"):
        windows(100, 60, 0)
