"""Clients of the broker: the sans-IO connection and what runs it."""
