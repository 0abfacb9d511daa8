"""Data: the models and instance types that the platform knows, and their loader.

`catalogue/` has one file a model, called like it: a new model is one file, and no code changes for
it. `instance_types/` has one file a provider. Where an entry differs from upstream's, its `note`
says so and why; a fact that is not known stays out. A `revision` is upstream's, or, where upstream
has none, a commit that several public projects name for the model: none was looked up at the hub.

Two numbers follow a rule, which is upstream's, for models whose weights are downloaded: `disk` is
the weights and 80 GiB for images, logs and caches; `readyDeadlineSeconds` is 15 min and 18 s for
each GiB, but 30 min at least. Upstream ends the latter at 3 h, this catalogue does not.

`runtimes/` holds the programs that run inside pods: they import nothing of ours. This room knows
`api` only.
"""
