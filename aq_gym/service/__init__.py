"""The live system: devices report readings over HTTP, a policy decides who wakes next, people look at the map.

Install with `pip install "aq-gym[service]"`; start with `python -m scripts.serve` or `make serve`. The policy is handed
in through `aq_gym.policy.Policy`: a shipped agent, or a heuristic that needs no torch.
"""
