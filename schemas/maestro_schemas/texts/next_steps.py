"""Next steps: the hint of an error, in the words of the caller at hand.

Rule: pure. An error is made with the step of a person in a shell. Each other caller has other means: HTTP has
requests, a model has tools, a Python program has arguments, and each command of an agent is a new shell, in which no
variable of the last one is set. So a sentence with words that are of no use to a caller gives way to the step of the
error's code. Two tables of steps are here; the gateway (`error_docs.py`) and the tools (`tool_texts.py`) have theirs.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False  # `typing` costs as much as everything else that a fast command imports
if TYPE_CHECKING:
    from typing import Final

    from maestro_schemas.errors import MaestroError

# Words of a shell: a command, an option, a variable.
SHELL: Final = re.compile(
    r"\bmaestro(?:-messaging)? [a-z]|MAESTRO_|\beval\b|\$\(|(?<![\w-])--[a-z]|\bshells?\b|\bpip "
)
# Words of a shell that stays open, or of the person in it.
_LASTING_SHELL: Final = re.compile(
    r"\beval\b|--export\b|unset MAESTRO_SESSION|(?:in|from) a shell\b|shell that stays|^Set MAESTRO_SESSION"
    r"|the two variables that each command|--as operator",
    re.IGNORECASE,
)
# The space between two sentences.
_SENTENCE: Final = re.compile(r"(?<=[.?!])\s+")

_OWN_SESSION: Final = (
    "Each command of an agent is a new shell, so put the session before the command: "
    "`MAESTRO_SESSION_ID=ID MAESTRO_SESSION_TOKEN=TOKEN maestro ...`, which `maestro session start --json` gives, or "
    "MAESTRO_SESSION_LINK as your hook has said. Or ask your user to run `maestro hooks install`, which does it all."
)
_PUT_BEFORE: Final = (
    "Put it before the command: `MAESTRO_SESSION_TOKEN=TOKEN maestro ...`. Without it, ask your user."
)
_ASK_USER: Final = "That is for the person alone: ask your user."

# code -> the step of an agent in the shells of its tools.
STEPS_OF_AGENTS: Final = {
    "NO_SESSION": _OWN_SESSION,
    "UNKNOWN_SESSION": _OWN_SESSION,
    "SESSION_ENDED": "`maestro session start --id ID` under the same id and token does that; or ask your user.",
    "TOKEN_REQUIRED": _PUT_BEFORE,
    "TOKEN_MISMATCH": _PUT_BEFORE,
    "FORBIDDEN": _ASK_USER,
    "ROLE_FORBIDDEN": _ASK_USER,
    "NAME_TAKEN": "Choose another name, or ask your user.",
    "INVALID": _ASK_USER,
}

_LATER: Final = "Call it again with the same ids, which is safe."

# code -> the step of a Python program.
STEPS_IN_PYTHON: Final = {
    "NO_SESSION": "Name it: connect(..., caller=Caller(ID, TOKEN)) or Client(address, Caller(ID, TOKEN)); "
    "`client.start_session(ID)` starts one. Caller('operator') is the person.",
    "UNKNOWN_SESSION": "client.start_session(ID) starts it; another data directory has other sessions.",
    "SESSION_ENDED": "client.start_session(ID, token=TOKEN) with the same id and token reopens it.",
    "TOKEN_REQUIRED": "Give it: Caller(ID, TOKEN), with the token that start_session was called with.",
    "TOKEN_MISMATCH": "Give the token that start_session was called with: Caller(ID, TOKEN).",
    "FORBIDDEN": "The operator may: a Client without a session, or with Caller('operator').",
    "ROLE_FORBIDDEN": "Ask an orchestrator, or start the session as a worker: start_session(ID, role='worker').",
    "NAME_TAKEN": "Choose another name; as the operator, start_session(ID, takeover=True) or (ID, replace=True).",
    "CONFIRM_FANOUT": "Send it with confirm=True, or name those whom it concerns; details['receivers'] has them.",
    "CONFLICT": "Use a new id; a repeat must have the same content.",
    "RECEIVER_NOT_FOUND": "client.sessions(active=True) lists who is here.",
    "SESSION_NOT_FOUND": "client.sessions() lists all of them.",
    "NO_RECEIVERS": "client.sessions(active=True) lists who is here.",
    "GROUP_NOT_FOUND": "client.groups() lists them.",
    "MESSAGE_NOT_FOUND": "client.inbox() lists the mail of the caller.",
    "BLOB_NOT_FOUND": "Send it with attachments=[PATH], which puts the file first.",
    "TOO_MANY": "Ask for fewer; end sessions and delete groups that are done.",
    "RATE_LIMITED": "Wait for retry_after_s seconds, or put several points into one message.",
    "INVALID": "The docstring of the method has its arguments.",
    "BROKER_UNREACHABLE": "connect(..., autostart=True) starts one of this machine. " + _LATER,
    "STATUS_CONFLICT": "Send it again with a longer ttl_ms, or ask whether its receiver is still there.",
    "STORAGE_FULL": "Free some space on the broker's machine. " + _LATER,
    "BUSY": _LATER,
    "UNKNOWN_COMMAND": "The broker is older than this client: stop it; connect(..., autostart=True) starts another.",
}


def adapted(hint: str, foreign: re.Pattern[str], step: str) -> str:
    """The hint with `step` in the place of its sentences that have words of `foreign`; the same if none has."""
    if not foreign.search(hint):
        return hint
    kept = [sentence for sentence in _SENTENCE.split(hint) if not foreign.search(sentence)]
    return " ".join([*kept, step])


def in_python(error: MaestroError) -> str:
    """The step of a Python program. A hint for the person at the machine, such as a repair, stays as it is."""
    step = STEPS_IN_PYTHON.get(error.code)
    return error.hint if step is None else adapted(error.hint, SHELL, step)


def of_agent(error: MaestroError) -> str:
    """The step of an agent whose every command is a new shell."""
    step = STEPS_OF_AGENTS.get(error.code)
    return error.hint if step is None else adapted(error.hint, _LASTING_SHELL, step)
