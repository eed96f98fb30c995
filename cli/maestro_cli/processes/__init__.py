"""Processes of the post office as a command sees them: service units, exits, the gateway that `up` starts."""
