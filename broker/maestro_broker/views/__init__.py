"""What is derived from the committed records and can be rebuilt: spool files, timeline, dead letters, checks."""
