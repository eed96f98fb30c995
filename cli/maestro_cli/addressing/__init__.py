"""What a person types for a message, a receiver or a command."""
