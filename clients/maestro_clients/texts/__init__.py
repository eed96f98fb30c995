"""Texts: mail and sessions in words, for terminals, agents' contexts and MCP."""
