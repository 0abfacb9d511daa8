"""The node agent: a small cloud on one machine, where asking for a machine starts a real node.

Its HTTP contract is that of `tests/harness/node_cloud.py`, which stands in for it with kwok nodes.
"""
