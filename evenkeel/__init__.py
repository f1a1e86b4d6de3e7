"""The front door: the command line, supervision, and what makes a first project."""
