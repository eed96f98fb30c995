"""`maestro session`."""
