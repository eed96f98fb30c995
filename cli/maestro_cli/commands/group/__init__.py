"""`maestro group`."""
