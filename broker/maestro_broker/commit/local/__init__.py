"""The commit log on this machine: a journal of segment files."""
