"""What happened and what was said: the timeline and the log, and how both follow what comes."""
