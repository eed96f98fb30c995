"""Which characters a text may hold."""
