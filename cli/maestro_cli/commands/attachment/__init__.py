"""Commands of `maestro attachment`."""
