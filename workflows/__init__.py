"""Order and waiting: the entity workflows, their steps, the lifecycle table, every limit.

Nothing here judges (the planner does, inside an activity) or touches the world (activities do).
A workflow remembers, starts the next activity, and waits. This room imports `api` only.
"""
