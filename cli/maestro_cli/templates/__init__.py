"""Templates: texts for messages that recur, with places to fill in."""
