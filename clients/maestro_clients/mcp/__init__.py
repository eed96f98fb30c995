"""MCP: the tools of an agent's MCP server, over stdio and HTTP."""
