"""Presence: who is here, as a table, and each change of it."""
