"""Input file: wakes an idle Qwen Code by one line at the end of the file that it takes prompts from.

Rule: the file is one that the agent was started with (`qwen --input-file FILE`). It must be a regular file of this
user, and no link to one. Only its end changes: Qwen Code reads a file that was cut, or whose beginning has changed,
from its start again, and would do again what was asked before.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Final

from maestro_runtime import wake_facts
from maestro_runtime.process_identity import is_alive
from maestro_schemas.texts.waking import NOTICE

from .steps import WakePause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .steps import Steps, Wake

WORDS: Final = f"{NOTICE} has come; it is shown with this notice."
FILE_BYTES_MAX: Final = 16 << 20
_LINE: Final = (json.dumps({"type": "submit", "text": WORDS}) + "\n").encode()
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def steps(wake: Wake, _environ: Mapping[str, str]) -> Steps:
    """Wake a session's Qwen Code."""
    facts = wake.facts
    # What is sent in the same moment is in one turn.
    yield WakePause(0.0)
    if facts.file is None:
        return wake.failed("what is noted of it names no input file", is_lasting=True)
    alive = is_alive(facts.pid, facts.pid_start)
    if not alive:
        if alive is None:
            return wake.failed("its Qwen Code runs where this broker can't see its process", is_lasting=True)
        wake_facts.remove(wake.data, wake.session)
        return wake.failed("its Qwen Code has ended", is_lasting=True)
    if wake.is_busy:
        return wake.busy()
    try:
        descriptor = os.open(facts.file, _FLAGS | os.O_CREAT, 0o600)
    except OSError as error:
        return wake.failed(f"{facts.file} can't be written: {error.strerror}", is_lasting=True)
    try:
        fault = _fault(os.fstat(descriptor))
        if fault:
            return wake.failed(f"{facts.file} {fault}", is_lasting=True)
        if not wake.claim():
            return wake.void()
        size = os.fstat(descriptor).st_size
        # Another program may have left a line without its end.
        is_whole = size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
        os.write(descriptor, _LINE if is_whole else b"\n" + _LINE)
    except OSError as error:
        return wake.failed(f"{facts.file} can't be written: {error.strerror}")
    finally:
        os.close(descriptor)
    return wake.woken()


def _fault(found: os.stat_result) -> str:
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        return "is not a regular file of this user"
    # Who may write in its folder alone could name another file of this user so.
    if found.st_nlink > 1:
        return "has another name (a hard link), and may be another file"
    if found.st_size > FILE_BYTES_MAX:
        return f"has {found.st_size:,} bytes, and {FILE_BYTES_MAX:,} are the most: start Qwen Code with a new file"
    return ""
