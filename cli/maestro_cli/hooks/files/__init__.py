"""What an agent needs to open the files of its mail with its own tool: a rule in its settings, or another place."""
