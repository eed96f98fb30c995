"""Waking: when the turn of an idle agent is started because mail waits for it."""
