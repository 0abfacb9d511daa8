"""From Kubernetes events to hints for workflows: it wakes, and it judges nothing.

    informers ─► planner.hints ─► HintQueue (one entry a workflow) ─► Sender ─► Temporal

Runs in the one process that holds the Lease. What a hint means is the planner's business, and what
to do about it the workflow's.
"""
