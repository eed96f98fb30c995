"""Clients of the broker: the sans-IO connection and what runs it.

Rule: each module is imported by itself, so that a command pays only for what it uses; nothing is re-exported here.
"""
