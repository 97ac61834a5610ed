"""Old place of `baselines.studies.backtest`."""


__all__ = [
    *("BANDS", "BLOCK", "METHODS", "RESAMPLES", "Delivered", "Faults", "Replayed", "Windows", "backtest"),
    *("block_interval", "change", "check_shares", "deliver", "estimate", "gaussian_process"),
    *("gaussian_process_map", "judge", "replay", "sources_of"),
]
