"""Deep linear networks in symbols, and at exact rational points."""
