"""HTTP itself: the server, its guard, credentials, responses and routing."""
