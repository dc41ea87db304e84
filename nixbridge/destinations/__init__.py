"""TODO destinations."""
