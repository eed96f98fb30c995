"""Finding, starting and stopping the broker and the gateway."""
