"""HTTP itself: the server, its guard, credentials, answers and routing."""
