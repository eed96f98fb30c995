"""`maestro message`."""
