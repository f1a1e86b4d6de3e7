"""Long runs that try to break a promise, and say what they saw."""
