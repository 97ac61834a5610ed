"""Training on a sensing problem: our DQN and Stable-Baselines3's agents; and what makes the generalist.

Each module imports only those named before it. For all: ``clock`` (seconds of a training), ``instance`` (what it was
made for), ``validation``. Our DQN: ``pairs`` (counterfactual pairs, and improvements by them), ``reference_reward``,
``guide`` (the rule it starts from), ``task`` (what it learns on, and the committed settings), ``resumption``,
``training`` (its docstring lists the calls of a training in order), ``run``. Others: ``generalist``, ``imitation``
(DAgger), ``shipped`` (the agents of this repository). SB3's: ``sb3_env``, ``sb3_policy`` (settings and files too),
``sb3_training``.
"""
