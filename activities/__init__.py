"""The world: all input and output.

`clients/` alone import SDKs, `errors.py` is the one door through which foreign errors become
ours, `provisioners/` get nodes, `workspace/` and `node_claim/` implement the contracts of
`api.contracts`.
May import `api`, `planner` and `presets`.
"""
