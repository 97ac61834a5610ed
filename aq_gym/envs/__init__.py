"""Gymnasium environments: thin views of the one dynamics in `aq_gym.kernels`."""
