"""Processes that commands start, wait for or configure: the gateway, broker exits, service units."""
