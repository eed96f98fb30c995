"""The MCP server in the settings of agents."""
