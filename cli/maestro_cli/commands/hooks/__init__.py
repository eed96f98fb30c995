"""`maestro hooks`."""
