"""Hook script: what an agent calls, and what it costs while there is no mail.

Rule: a few lines of POSIX shell that end with exit code 0 whatever happens, say nothing on the agent's streams by
themselves, and start Python only for a session's beginning and end, where `.pending` says that mail waits, and at the
end of a turn in which a hook has said that the agent is at work.
Standard input is read to its end, since some agents take a hook that closes it early for a broken one.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from maestro_runtime import atomic_file
from maestro_schemas.errors import MaestroError

from .session_links import top

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "maestro-hook"

# A line that `command` made, in whatever data directory its script is. The whole of it: a line that only ends like
# ours is somebody else's, and is neither run nor taken out.
_WORD = rf"'(?:[^'\\\n\r\0]|'\\'')*/{NAME}'"
_OURS = re.compile(rf"test -x (?P<script>{_WORD}) && exec (?P=script) [a-z-]+ [A-Za-z]+ \|\| true")

_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")

_SCRIPT = """\
#!/bin/sh
# Written by `maestro hooks install`. It is called as: {name} AGENT EVENT, with the agent's JSON on standard input.
agent=$1 event=$2
python={python}
data={data}
[ -z "$MAESTRO_DATA_DIR" ] || data=$MAESTRO_DATA_DIR
case $data in "~/"*) data=$HOME/${{data#"~/"}} ;; esac
input=$(cat)
# On another machine than the broker's there is no marker to look for: it is asked.
case $MAESTRO_BROKER:$event in
:SessionStart | :SessionEnd | ?*:*) ;;
*)
  session=
  # Agents say it first, and what looks for it takes the square of how far it has to look.
  head=$input
  [ ${{#head}} -le 4096 ] || head=$(printf '%.4096s' "$head")
  case $head in
  *'"session_id"'*)
    id=${{head#*'"session_id"'}}
    id=${{id#*\\"}}
    id=${{id%%\\"*}}
    case $id in
    '' | *[!A-Za-z0-9_-]*) ;;
    *) [ ! -r "$data/hooks/links/$agent/$id" ] || read -r session < "$data/hooks/links/$agent/$id" ;;
    esac
    ;;
  esac
  [ -n "$session" ] || session=$MAESTRO_SESSION_ID
  [ -n "$session" ] || exit 0
  if [ ! -e "$data/messages/by-receiver/$session/.pending" ]; then
    case $event in
    Stop | AfterAgent) [ -e "$data/hooks/working/$session" ] || exit 0 ;;
    *) exit 0 ;;
    esac
  fi
  ;;
esac
[ -x "$python" ] || exit 0
MAESTRO_DATA_DIR=$data
export MAESTRO_DATA_DIR
log=/dev/null
mkdir -p "$data/logs" 2> /dev/null && [ -w "$data/logs" ] && log=$data/logs/hooks.log
[ "$log" = /dev/null ] || (umask 077 && : >> "$log") 2> /dev/null || log=/dev/null
printf '%s' "$input" | "$python" -P -m maestro_cli hooks run "$agent" "$event" --agent-pid "$PPID" 2>> "$log"
exit 0
"""


def script_path(data: str) -> str:
    """Where the script of a post office is."""
    return os.path.join(top(data), NAME)


def command(script: str, agent: str, event: str) -> str:
    """The line that an agent's settings hold. It is for any shell that the agent may use, fish among them, and is
    quiet and successful where the script is gone."""
    word = quoted(script)
    return f"test -x {word} && exec {word} {agent} {event} || true"


def is_ours(line: object) -> bool:
    """Whether a line in an agent's settings is one that `command` made."""
    return isinstance(line, str) and _OURS.fullmatch(line) is not None


def names_us(line: str) -> bool:
    """Whether a line calls a script of our name, or seems to; `is_ours` says whether it is a line of ours."""
    return f"/{NAME}" in line


def is_as_written(data: str, python: str) -> bool:
    """Whether the script of the post office at `data` is, byte by byte, what `write` would write. Raises
    MaestroError INVALID, and OSError where it can't be read."""
    body = text(data, python).encode("utf-8", "surrogateescape")
    with open(script_path(data), "rb") as file:
        return file.read(len(body) + 1) == body


def text(data: str, python: str) -> str:
    """The script of the post office at `data`. Raises MaestroError INVALID."""
    return _SCRIPT.format(name=NAME, python=quoted(python), data=quoted(data))


def write(data: str, python: str) -> str:
    """Write the script, atomically; its path. Raises MaestroError DATA_DIR_UNUSABLE."""
    path = script_path(data)
    body = text(data, python).encode("utf-8", "surrogateescape")
    try:
        os.makedirs(top(data), mode=0o700, exist_ok=True)
        atomic_file.replace(path, body, durable=False, mode=0o700, aside=f"{path}.{os.getpid()}.new")
    except OSError as error:
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            f"the hook's script can't be written: {error}",
            "Make the data directory yours and writable, or set MAESTRO_DATA_DIR to another one.",
        ) from None
    return path


def prompt_display(environ: Mapping[str, str]) -> str:
    """The plain script for any agent that shows what a command prints at its prompt."""
    return f"""\
#!/bin/sh
# New mail of this shell's session, and no output at all when there is none.
if [ -n "$MAESTRO_SESSION_ID" ]; then
  {maestro_command(environ)} inbox --quiet
fi
"""


def maestro_command(environ: Mapping[str, str]) -> str:
    """`maestro` where a shell finds one by that name, else the path of this installation's, quoted if need be."""
    import sys

    folders = environ.get("PATH", "").split(os.pathsep)
    if any(os.access(os.path.join(folder, "maestro"), os.X_OK) for folder in folders if os.path.isabs(folder)):
        return "maestro"
    beside = os.path.join(os.path.dirname(sys.executable), "maestro")
    if not os.access(beside, os.X_OK):
        return "maestro"
    return beside if _PLAIN.fullmatch(beside) else quoted(beside)


def quoted(path: str) -> str:
    """A path as one word of a shell. Raises MaestroError INVALID for what shells read differently."""
    if any(character in path for character in "\n\r\0\\"):
        raise MaestroError(
            "INVALID",
            f"{path!r} can't stand in a shell's line: it has a backslash or a line break",
            "Set MAESTRO_DATA_DIR to a plainer path, or install maestro below one.",
        )
    return "'" + path.replace("'", "'\\''") + "'"
