"""What serving costs, side by side with other servers: `python -m benchmarks.serving`."""
