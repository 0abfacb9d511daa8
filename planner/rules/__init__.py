"""The rules of `planner.validation`, by the part of a Workspace that they are about.

A rule is a function from a `Case` to violations. It never raises, whatever the user wrote.
"""
