"""A send whatever the broker is doing, and the outbox where it waits."""
