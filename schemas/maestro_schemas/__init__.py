"""The contract: names, limits, messages, sessions, events, errors, paths.

Rule: imports nothing of ours, does no I/O but to read an environment that it is handed, and is split so that
a client pays only for what it uses. `messages`, `sessions`, `requests`, `replies` and `events` need msgspec
(25 ms to import; the broker and the gateway validate with them); `names`, `limits`, `errors`, `paths`,
`outbox_entry` and `documents` (the same shapes as TypedDicts) do not.
"""

__version__ = "0.1.0"

PROTOCOL_HEADER = b"M1"
PROTOCOL_VERSION = 1
DATA_FORMAT_VERSION = 1

# Commands that a client must not send again when no answer came, because a repeat may act a second time: a note is
# added twice, a second round of the sweep begins, a shutdown ends the broker that was started meanwhile. A repeat of
# any other command with the same ids changes nothing. Here because it costs a client no import; see `commands`.
NOT_REPEATABLE = ("session.touch", "prune", "shutdown")
