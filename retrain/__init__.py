"""The retrain job: snapshot, validate, train, gate, promote."""
