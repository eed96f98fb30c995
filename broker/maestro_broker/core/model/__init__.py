"""What the core knows: the state, its mailboxes and sessions, and the records that change it."""
