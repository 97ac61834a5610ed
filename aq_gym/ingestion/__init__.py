"""The files that cities publish: readings with headers, times and gaps, and tables of stations.

`aq_gym.datasets.load_readings` and `python -m scripts.calibrate` read through this package. What holds times or names
of stations becomes a pandas frame: pip install "aq-gym[train]".
"""
