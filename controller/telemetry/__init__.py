"""What is told outside the status: Events, metrics, logs."""
