"""What a command prints: streams, tables, names, JSON."""
