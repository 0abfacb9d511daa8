"""The rules of `planner.validation`, by the part of a Workspace that they are about.

A rule is a function from a `Case` to faults, whose name is the rule's id and whose docstring is its
promise. It never raises, whatever the user wrote.
"""
