"""What the service speaks: one thin adapter per protocol, each over the one data plane."""
