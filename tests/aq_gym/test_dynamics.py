"""The dynamics compiled and as plain Python: the same bytes. And what a newcomer may not do by accident."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aq_gym import dynamics
from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from aq_gym.network import SensorNetwork
from aq_gym.problem import Problem
from aq_gym.records import DEVICE

# Whole episodes of every view, observation and inference; prints a digest of all that was returned, one a line.
EPISODES = """
import dataclasses, numba, numpy as np
from hashlib import blake2b
from aq_gym import SensorNetwork
from aq_gym.envs.vector import JointDevicesVectorEnv, MultiDeviceVectorEnv

def digest(step):
    parts = [np.asarray(x) for x in step[:-1]] + [step[-1][key] for key in sorted(step[-1]) if key[0] != "_"]
    return b"".join(x.tobytes() for x in parts)

network = SensorNetwork.synthetic(19, seed=3)
hows = [{}, {"fuse_measured": True}, {"inference": "level-aware", "level_noise": 0.2}]
network = dataclasses.replace(network, level_belief=np.array([5.3, 0.9, 0.037, 1.47, 0.004, 70.0]))
hows += [{"inference": "hidden", "loss": 0.3, "reveal": True, "energy_budgets": [2, 3, 4], "harvest": (0.2, 3)}]
hows += [{"inference": "hidden", "belief": "chain"}]
for how in hows:
    for view in ("full", "compact", "per_device", "joint"):
        kind = {} if view == "joint" else {"observation": view}
        make = JointDevicesVectorEnv if view == "joint" else MultiDeviceVectorEnv
        env = make(2, network, [4, 0, 17], 7, 3, 4, **kind, **how)
        rng, told = np.random.default_rng(0), blake2b(digest(env.reset(seed=5)), digest_size=12)
        for _ in range(9 if view == "joint" else 23):  # into the next episode
            told.update(digest(env.step(rng.integers(0, 2, env.action_space.shape))))
        told.update(b"".join(x.tobytes() for x in env.map()) + b"".join(x.tobytes() for x in env.get_state().arrays))
        print(view, sorted(how), told.hexdigest())
print("compiled" if hasattr(__import__("aq_gym.dynamics").dynamics.sense, "py_func") else "plain")
"""


def test_compiled_and_plain_python_play_the_same_bytes() -> None:
    outputs = []
    for disabled in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled, "PYTHONPATH": str(Path(__file__).parents[2])}
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", EPISODES], env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        outputs.append(run.stdout.splitlines())
    compiled, plain = outputs
    assert (compiled.pop(), plain.pop()) == ("compiled", "plain")
    assert len(set(compiled)) == 20
    assert compiled == plain


def test_a_sensing_changes_three_fields() -> None:
    """What happens when a device senses, without any environment; where the report is lost, only the energy goes."""
    sense = getattr(dynamics.sense, "py_func", dynamics.sense)
    d = np.zeros(1, DEVICE).view(np.recarray)[0]
    d.location, d.budget, d.energy, d.delay, d.record = 7, 5, 3, 4, 20.0
    sense(d, 40.0, True)
    assert d.tolist() == (7, 5, 2, 4, 20.0, 1, 0)
    sense(d, 50.0, False)
    assert d.tolist() == (7, 5, 1, 0, 50.0, 0, 0)


@pytest.mark.parametrize("name", ["horizon", "energy_budget", "max_sleep"])
@pytest.mark.parametrize("value", [10**15, 10**30])
def test_sizes_that_no_machine_holds_are_refused_by_name(name: str, value: int) -> None:
    arguments = {"horizon": 12, "energy_budget": 6, "max_sleep": 4} | {name: value}
    with pytest.raises(ValueError, match=rf"{name}: expected an integer of at most"):
        MultiDeviceEnv(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [10**7, 10**12, 10**30])
def test_more_episodes_than_fit_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="num_envs: "):
        MultiDeviceVectorEnv(count, horizon=100_000, energy_budget=10_000)


def network(
    levels: tuple[float, ...] = (5.0, 40.0, 100.0), temporal: float = 30.0, own: float = 0.0064
) -> SensorNetwork:
    k, b = len(levels), 1e-3 * (1.0 - np.eye(4))
    return SensorNetwork(
        own, temporal, np.zeros((4, 4)), b, np.array(levels), np.full((k, k), 1 / k), np.full(k, 1 / k)
    )


@pytest.mark.parametrize(
    "unusual",
    [
        *({"levels": levels} for levels in ((0.005, 5e5), (1e-9, 1e9), (1e-20, 2e-20), (1e-3, 2e3), (1e150, 2e150))),
        *({"temporal": variance} for variance in (0.0, 1e-30, 1e6, 1e30, 1e300)),
        *({"own": variance} for variance in (1e-12, 1e-30, 1e6, 1e30, 1e300)),
    ],
    ids=str,
)
def test_any_network_is_refused_or_played_without_nan(unusual: dict[str, float]) -> None:
    try:
        problem = Problem.create(network(**unusual), [0, 1, 2, 3], 6, 6, 6)  # type: ignore[arg-type]
    except ValueError as error:
        assert "too far apart" in str(error) or "variance" in str(error) or "levels" in str(error)
        return
    rng = np.random.default_rng(0)
    for kind in ("full", "compact", "per_device"):
        env = MultiDeviceVectorEnv(16, problem.network, [0, 1, 2, 3], 6, 6, 6, observation=kind)
        env.reset(seed=0)
        for _ in range(24):
            observation, reward, *_ = env.step(rng.integers(0, 2, 16))
            assert np.isfinite(observation).all() and np.isfinite(reward).all()
            assert env.observation_space.contains(observation)
