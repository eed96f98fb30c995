"""What a command prints: streams, tables, names, JSON, and what is wrong with its arguments."""
