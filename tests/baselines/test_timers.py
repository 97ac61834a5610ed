"""A policy of timers is the same in every slot as in its own view."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aq_gym.envs.multi_device import MultiDeviceEnv
from aq_gym.envs.vector import MultiDeviceVectorEnv
from baselines.heuristics.in_turn import InSlots
from baselines.playing import play_problem

HOW: dict[str, Any] = {"inference": "hidden", "loss": 0.3, "harvest": (0.1, 5)}


class Anything:
    """Some function of all that it sees, within the mask."""

    observation = "compact"

    def act(self, observation: NDArray[np.float32], info: Mapping[str, Any]) -> NDArray[np.int64]:
        noise = np.abs(np.sin(1e3 * np.atleast_2d(observation).sum(axis=1)))
        return (noise * np.atleast_2d(info["action_mask"]).sum(axis=1)).astype(np.int64)


def test_timers_in_slots() -> None:
    shape = [0, 9, 20], 20, 4, 5
    env = MultiDeviceVectorEnv(
        6, "pku2018", *shape, **HOW, observation="compact", autoreset_mode="Disabled", decide="timer"
    )
    policy, errors = Anything(), np.zeros(6)
    for k in range(6):
        one = MultiDeviceEnv("pku2018", *shape, **HOW, observation="compact", decide="timer")
        observation, info = one.reset(seed=k)
        over = False
        while not over:
            observation, _, over, _, info = one.step(policy.act(observation, info)[0])
        errors[k] = info["average_joint_error"]
    record = play_problem(InSlots(policy, env.problem), env.problem, 6, 0)
    np.testing.assert_allclose(record.joint_error, errors, rtol=1e-12)
    single = MultiDeviceEnv("pku2018", *shape, **HOW, observation="compact")
    observation, info = single.reset(seed=2)
    again, over = InSlots(policy, env.problem), False
    while not over:
        action = again.act(observation, info)
        assert type(action) is int
        observation, _, over, _, info = single.step(action)
    assert info["average_joint_error"] == errors[2]
