"""From a rule to torch code."""
