"""Hooks of agents: their installation, and what one call of a hook does."""
