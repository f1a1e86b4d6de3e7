"""How often verdicts are wrong: false alarms where nothing changed, and changes that are found, ours beside its peers'."""
