"""The PettingZoo view: each device is an agent, and the agents decide in turn (needs pettingzoo, an optional extra)."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from aq_gym.envs.arguments import checked_options
from aq_gym.envs.multi_device import MultiDeviceEnv

try:
    from pettingzoo import AECEnv
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("aq_gym.envs.pettingzoo needs pettingzoo: pip install pettingzoo") from error


class DevicesAECEnv(AECEnv):  # type: ignore[misc]
    """`MultiDeviceEnv` as a PettingZoo AEC environment: agents ``device_0`` .. ``device_{M-1}`` decide in turn.

    ## Description
    A thin view: one `MultiDeviceEnv` plays underneath, so the same seed and the same decisions give the same weather,
    observations and return. The agents are a team: they share the aim, the smallest average joint error of the map.

    ## State
    As in `MultiDeviceEnv`; `state` returns its observation, which ``state_space`` contains.

    ## Action Space
    ``Discrete(2)`` for each agent: 0 off, 1 on. An action that is not allowed is replaced by the one that is.

    ## Observation Space
    That of `MultiDeviceEnv`, for each agent: every agent sees the whole present observation, whose one-hot names the
    agent that decides.

    ## Rewards
    The agent that decided receives the marginal reward of its decision [µg/m³], the others nothing. Over all agents
    they add up to -T times the episode's average joint error. As PettingZoo wants it, ``last()`` returns what an agent
    has received since its previous decision.

    ## Starting State
    As in `MultiDeviceEnv`.

    ## Episode End
    After the last decision of slot T all agents are terminated, never truncated.

    ## Info
    ``infos[agent]``: as in `MultiDeviceEnv`, but ``action_mask`` (2,) int8 is the agent's own, valid at its next
    decision; ``forced`` and ``lost`` are of its last decision. The keys are always the same: ``joint_error`` is
    of the last slot that ended, ``average_joint_error`` of the episode, each 0 before there is one.

    ## Units
    Concentrations and errors in µg/m³, time in slots of 10 minutes, energy in sensings.

    ## Arguments
    - ``**kwargs``: those of `MultiDeviceEnv`, with its defaults.

    ## Version History
    - v0: first release.

    Raises:
        ValueError: an argument is of the wrong type or out of range; the message names it and what would be right.
    """

    metadata: ClassVar[dict[str, Any]] = {
        **MultiDeviceEnv.metadata,
        "name": "aq_gym_devices_v0",
        "is_parallelizable": True,
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()
        if kwargs.get("decide", "slot") != "slot":
            raise ValueError(f"decide: expected 'slot', since agents decide in turn, got {kwargs['decide']!r}")
        self.sequential = MultiDeviceEnv(**kwargs)
        self.render_mode = self.sequential.render_mode
        self.possible_agents = [f"device_{m}" for m in range(self.sequential.problem.n_devices)]
        self.agents: list[str] = []
        self._observation: NDArray[np.float32] | None = None
        box = self.sequential.observation_space
        self.observation_spaces = {
            agent: gym.spaces.Box(box.low, box.high, dtype=np.float32)  # type: ignore[attr-defined]
            for agent in self.possible_agents
        }
        self.state_space = box
        self.action_spaces = {agent: gym.spaces.Discrete(2) for agent in self.possible_agents}

    def observation_space(self, agent: str) -> gym.spaces.Box:
        """The observation space of an agent, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gym.spaces.Discrete:
        """The action space of an agent, always the same object."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode.

        Args:
            seed: seeds the random generator, as in Gymnasium.
            options: ``{"levels": indices}`` as in `MultiDeviceEnv`; other options are ignored, as PettingZoo's own
                test demands.

        Raises:
            ValueError: levels of a wrong length, type or range.
        """
        known = {name: x for name, x in checked_options(options).items() if name == "levels"}
        self._observation, info = self.sequential.reset(seed=seed, options=known)
        self.agents = self.possible_agents[:]
        self.agent_selection = self.agents[0]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._forced, self._lost = dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)
        self._errors = {"joint_error": 0.0, "average_joint_error": 0.0}
        self._skip_agent_selection = None
        self._write_infos(info)

    def step(self, action: Any) -> None:
        """The selected agent decides; once the episode is over, each agent steps out with None.

        Raises:
            ValueError: the action is neither 0 nor 1; or not None, where the agent is terminated.
            gymnasium.error.ResetNeeded: before `reset`, or after all agents have stepped out.
        """
        if not self.agents:
            raise ResetNeeded("step was called without a running episode: call reset()")
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        self._observation, reward, terminated, _, info = self.sequential.step(action)
        self._forced[agent], self._lost[agent] = info.pop("forced"), info.pop("lost", False)
        self._errors |= {name: info.pop(name) for name in self._errors if name in info}
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.rewards[agent] = float(reward)
        self._accumulate_rewards()
        self.terminations = dict.fromkeys(self.agents, terminated)
        self.agent_selection = self.agents[info["turn"]]
        self._write_infos(info)

    def _write_infos(self, info: dict[str, Any]) -> None:
        """Each agent's info; its mask is that of its next decision, in this slot or, if it has decided, the next."""
        longest = self.sequential.problem.max_sleep
        has_decided = np.arange(len(self.agents)) < info["turn"]
        alive = info["energy"] > 0
        must = alive & (np.minimum(info["delay"] + has_decided, longest) == longest)
        masks = np.stack([~must, alive], axis=1).astype(np.int8)
        if info["slot"] > self.sequential.problem.horizon:
            masks[:] = info["action_mask"]
        shared = {**info, **self._errors}
        self.infos = {
            agent: {**shared, "action_mask": masks[m].copy(), "forced": self._forced[agent]}
            for m, agent in enumerate(self.agents)
        }
        if self.sequential.problem.loss > 0.0:
            for agent in self.agents:
                self.infos[agent]["lost"] = self._lost[agent]

    def observe(self, agent: str) -> NDArray[np.float32]:
        """The present observation, (2N + 6M + 4,), the same for every agent; a fresh array.

        Raises:
            ValueError: no such agent.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if agent not in self.possible_agents:
            raise ValueError(f"agent: expected one of {', '.join(self.possible_agents)}, got {agent!r}")
        return self.state()

    def state(self) -> NDArray[np.float32]:
        """The whole state as the agents see it: the present observation, a fresh array.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._observation is None:
            raise ResetNeeded("an observation was asked for before reset: call reset() to start an episode")
        return self._observation.copy()

    def last(self, observe: bool = True) -> tuple[NDArray[np.float32] | None, float, bool, bool, dict[str, Any]]:
        """What the selected agent has observed and received since its previous decision; see PettingZoo.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._observation is None:
            raise ResetNeeded("last was called before reset: call reset() to start an episode")
        return super().last(observe)  # type: ignore[no-any-return]

    def render(self) -> Any:
        """As `MultiDeviceEnv.render`."""
        return self.sequential.render()

    def close(self) -> None:
        """Close the environment underneath."""
        self.sequential.close()


def env(**kwargs: Any) -> DevicesAECEnv:
    """The PettingZoo AEC environment of M devices that decide in turn; arguments as `MultiDeviceEnv`."""
    return DevicesAECEnv(**kwargs)
