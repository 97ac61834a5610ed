"""What the air will be: cleaning of readings, features, forecasters with calibrated intervals, and their evaluation.

Install with `pip install "aq-gym[forecasting]"`. Torch is imported by `forecasting.networks` alone.
"""
