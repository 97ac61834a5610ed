"""Commands: a thin one for each thing a user does; run from the root, `python -m scripts.NAME`."""
