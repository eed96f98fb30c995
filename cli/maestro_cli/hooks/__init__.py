"""Hooks of coding agents: how they are installed, and what one hook call does."""
