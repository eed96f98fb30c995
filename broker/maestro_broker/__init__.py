"""The broker: one process that owns the journal, the spool and the sockets."""
