"""Training on a sensing problem: our DQN, Stable-Baselines3's agents, and the generalist.

The modules, each importing only those named before it: ``clock`` and ``interrupts``; ``instance``; ``compiled``
(networks for compiled play) and ``pairs``; ``reference_reward``; ``validation``; ``recipes`` and ``guide``; ``task``
(what a training learns on); ``training`` and ``run``; ``shipped`` (the agents that the repository holds); ``mixed`` and
``generalist``; ``sb3_env``, ``sb3_policy`` and ``sb3_training``.
"""
