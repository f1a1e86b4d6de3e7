"""What can answer for a version: scikit-learn itself, or what its pipeline was compiled to."""
