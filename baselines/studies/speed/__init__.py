"""What `scripts.measure_speed` measures: each module returns comparisons of our code with a peer."""
