"""Qwen Code input: the file that a Qwen Code takes prompts from, by which it can be woken.

Rule: only a file that its own command line names (`--input-file FILE`). One that its settings name
(`dualOutput.inputFile`) is shared by all its sessions, and a line in it would wake each of them.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

from maestro_runtime import wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.texts.waking import QWEN_CODE

if TYPE_CHECKING:
    from collections.abc import Sequence

# Its parser takes both.
_OPTIONS: Final = ("--input-file", "--inputFile")


def note(data: str, session: str, pid: int) -> bool:
    """Note how the Qwen Code with this pid can be woken; whether it can be."""
    file = _input_file(pid)
    if file:
        with contextlib.suppress(OSError, ValueError):
            wake_facts.write(data, session, WakeFacts(QWEN_CODE, pid, pid_start(pid), file=file))
            return True
    # What its user has allowed (`maestro session nudge`) stays.
    known = wake_facts.read(data, session)
    if known is not None and known.by == QWEN_CODE:
        wake_facts.remove(data, session)
    return False


def _input_file(pid: int) -> str:
    """The file's absolute path; empty where the command line of this user's process names none."""
    try:
        if pid <= 0 or os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return ""
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
            words = file.read().split("\0")
        named = _named(words)
        return os.path.join(os.readlink(f"/proc/{pid}/cwd"), named) if named else ""
    except OSError:
        return ""


def _named(words: Sequence[str]) -> str:
    """The last file that the words name, before `--`."""
    own = words[: words.index("--")] if "--" in words else words
    found = ""
    for word, following in zip(own, (*own[1:], ""), strict=True):
        option, equals, value = word.partition("=")
        if option in _OPTIONS:
            found = value if equals else following
    return found
