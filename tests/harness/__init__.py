"""A whole platform without root: real API server, real Temporal, real worker processes.

Only two things stand in for the real ones, and each says so in its module: kwok plays the nodes and
their pods, and a small HTTP server plays the model. `tests/faults` and `bench` run on it.
"""
