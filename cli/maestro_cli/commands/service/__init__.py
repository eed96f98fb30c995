"""`maestro service`."""
