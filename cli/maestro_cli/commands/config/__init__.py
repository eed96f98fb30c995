"""`maestro config`."""
