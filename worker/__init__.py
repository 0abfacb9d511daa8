"""WIRING: one process that joins Kubernetes, Temporal, the workflows and the activities.

Belongs here: settings (the only reader of the environment), start checks, task-queue workers,
telemetry, the watcher that turns Kubernetes events into hints, the webhook that answers the API
server. Does not belong here: judgement (planner), order (workflows), I/O on behalf of a Workspace
(activities). May import every room. Nobody imports it.
"""
