"""The contract: names, limits, messages, sessions, events, errors.

Rule: it imports no other package of this project and does no I/O. `messages`, `sessions`, `requests`, `replies`,
`events` and `commands` need msgspec (25 ms to import); the broker and the gateway validate with them. `names`,
`limits`, `errors`, `outbox_entry` and `documents` (the same shapes as TypedDicts) do not, so that a client imports
only what it uses.
"""

__version__ = "0.1.0"

# How each kind of installation gets a newer version, for the hints of errors.
UPGRADE = (
    "`pipx upgrade maestro-messaging`, `uv tool upgrade maestro-messaging`, or "
    "`pip install --upgrade maestro-messaging`: as it was installed"
)

PROTOCOL_HEADER = b"M1"
PROTOCOL_VERSION = 1
DATA_FORMAT_VERSION = 2

# Commands that a client must not send again when no answer came, because a repeat may act a second time: a note is
# added twice, a second round of the sweep begins, a shutdown ends the broker that was started meanwhile. A repeat of
# any other command with the same ids changes nothing. Here because it costs a client no import; see `commands`.
NOT_REPEATABLE = ("session.touch", "index.rebuild", "prune", "shutdown")
