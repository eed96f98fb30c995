"""`maestro keys`."""
