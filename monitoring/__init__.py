"""The monitor: windows, scores, verdicts, reports, alerts, metrics and the console."""
