"""`maestro send` and `reply`: the send and what its sender is told."""
