"""`maestro spool`."""
