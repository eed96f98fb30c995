"""The sockets: ZMTP on this machine, CURVE from other machines, and the notices."""
