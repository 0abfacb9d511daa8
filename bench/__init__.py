"""Measurements of the main job: counts first, then seconds.

A developer's tool: it runs on the test harness (real API server, Temporal and worker processes;
kwok plays nodes and pods, a small server plays the model). Nothing imports it.
"""
