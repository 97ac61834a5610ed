"""The model's joint error is a belief, readings hold the truth: policies replayed on real air, and their maps.

A policy sees the level, binned as the network's chain wants it, and decides which devices sense. A sensing device sends
its real reading to the server. Each of `METHODS` makes a map of the last readings, which is compared with what all
devices read in that slot. All policies and methods play the same windows.
"""
