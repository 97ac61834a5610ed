"""Exact dynamic programming: optimal policies, and the exact error of any policy, where the instance allows it.

Values are undiscounted sums of rewards [µg/m³], hence minus slots times the error. The files, from the bottom up:
`compiled` (numba and threads), `states` (checks, numbers), `cells` (where values are stored, and the cost of a slot),
`chain` (one slot of optimal stopping, backwards in time), `induction` (of any number of devices), `one_device` and
`several_devices`, and `evaluation`. Where the level is hidden: `hidden_induction` (one device, backwards in time),
`hidden_devices` (any number) and `hidden_solution`.
"""
