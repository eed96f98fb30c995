"""Signs: what the broker sees of the sessions' processes, when it is asked and when it changes."""
