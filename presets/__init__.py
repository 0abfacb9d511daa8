"""Data: the models and instance types that the platform knows, one file each, and their loader.

A new model is one file in `catalogue/`; no code changes for it. `runtimes/` holds the programs that
run inside pods: they import nothing of ours. This room knows `api` only.
"""
