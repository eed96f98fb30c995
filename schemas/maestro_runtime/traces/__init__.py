"""What a process reports of itself: in files, for those that can't ask it, and by a pipe to its starter."""
