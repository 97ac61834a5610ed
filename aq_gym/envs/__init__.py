"""Gymnasium environments: thin adapters of `aq_gym.dynamics`."""
