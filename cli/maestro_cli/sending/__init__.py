"""`maestro send` and `reply`: the send, its report and the wait for a receipt."""
