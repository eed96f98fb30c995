"""What happened and what was said, as the timeline and the records that are not filed yet have it."""
