"""Sends that clients left on disk while no broker answered."""
