"""What the hook of a session's start notes, so that its idle agent can be woken."""
