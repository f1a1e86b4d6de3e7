"""The feature log: per-process append-only segments, folded into Delta Lake tables that everything else reads."""
