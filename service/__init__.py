"""The BentoML service: HTTP in, prediction out, record in the feature log."""
