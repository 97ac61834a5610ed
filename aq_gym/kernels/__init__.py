"""The compiled code around `aq_gym.dynamics`; import its modules one by one.

`precision`, `level_aware` and `hidden` infer `maps`; `full`, `compact` and `per_device` observe; `batch` runs K
episodes; `chain` draws levels; `parameters` turns a problem into arrays. `network` and `branches` play small networks
inside compiled code; they are no part of the dynamics.
"""
