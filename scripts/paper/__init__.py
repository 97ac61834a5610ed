"""The paper's figures 8 to 13, a module each, for `python -m scripts.reproduce_paper`."""
