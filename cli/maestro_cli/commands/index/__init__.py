"""`maestro index`."""
