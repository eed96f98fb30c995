"""Waking: how a wake that is due reaches an agent that does not look for it itself."""
