"""Drift: scores of columns against a reference, and thresholds that keep to a budget of false alarms."""
