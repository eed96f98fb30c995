"""The connections themselves: a Unix socket, or libzmq with CURVE."""
