"""Rendering of one report, in a process of its own: `python -m monitoring.render --project DIR --start MICROSECONDS`."""
