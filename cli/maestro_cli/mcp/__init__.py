"""`maestro mcp`: the MCP server of one agent, over standard input and output."""
