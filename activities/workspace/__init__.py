"""The steps of a Workspace: one module a step, each implementing contracts of `api.contracts`."""
