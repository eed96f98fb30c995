"""Sessions: who may start, change and end them, and how."""
