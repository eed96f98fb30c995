"""Bodies: the requests and replies of commands beside mail, sessions and groups, one module a subject."""
