"""Learning rules as matrix expressions, and what they do."""
