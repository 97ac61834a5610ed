"""Policies that need no learning: random, uniform and greedy sensing, the tuned index policy, and rollout."""
