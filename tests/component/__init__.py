"""Parts with their real stores, training and threads in a temporary folder: more than a unit, less than a process."""
