"""Nouns: what every room talks about.

Here live the models of the custom resources, conditions and their reasons, the error tree,
the activity contracts with their payloads, and every name that two rooms must spell alike.
Nothing here decides, waits or touches the world. This room imports nothing of ours.
"""
