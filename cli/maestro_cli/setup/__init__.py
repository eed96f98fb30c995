"""Setting the post office up for the agents of this machine, and taking it out again."""
