"""What `scripts.measure_speed` measures: each module returns contests between our code and a peer or a limit."""
