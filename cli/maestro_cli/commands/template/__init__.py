"""`maestro template`."""
