"""What makes a batch of records durable, and whether the disk has room for it."""
