"""Training on a sensing problem: our DQN, Stable-Baselines3's agents, and the generalist.

Each module imports only those named before it. For all: ``clock``, ``interrupts``, ``files``, ``instance``,
``compiled`` (networks for compiled play), ``validation``. Our DQN: ``pairs``, ``reference_reward``, ``recipes``,
``guide``, ``task`` (what it learns on), ``progress``, ``resumption``, ``improving``, ``training``, ``dqn``, ``run``,
``shipped`` (the agents of this repository), ``mixed`` and ``generalist``. SB3's: ``sb3_env``, ``sb3_policy``,
``sb3_settings``, ``sb3_training``.
"""
