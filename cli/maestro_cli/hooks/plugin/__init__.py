"""The plugin of agents that run no commands as hooks."""
