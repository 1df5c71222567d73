"""What an operator sees of a running process: readiness, metrics, and a way to ask for a reload."""
