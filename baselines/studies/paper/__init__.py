"""The paper's figures 8 to 13, a module each, and the report on them."""
