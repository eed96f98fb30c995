"""Commands that set the post office up on this machine, or take it out."""
