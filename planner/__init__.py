"""Judgement: pure functions from facts to decisions, manifests, conditions and hints.

No clock, no I/O and no logger: time and randomness come in as arguments. May import `api` only.
"""
