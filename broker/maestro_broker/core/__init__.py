"""What decides. Pure: no I/O, and time is an argument."""
