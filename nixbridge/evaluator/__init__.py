"""TODO evaluator."""
