"""The live system measured from outside, as a client sees it: a real server process and real HTTP requests."""
