"""Waking in the server: what the policy needs to know, and what it has done."""
