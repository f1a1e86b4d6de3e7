"""What looking at a window costs: ours beside Evidently's preset, and a million rows out of a real feature log."""
