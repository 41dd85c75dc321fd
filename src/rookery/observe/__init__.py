"""What the node tells of itself: logs, metrics, health."""
