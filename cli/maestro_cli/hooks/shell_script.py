"""Hook shell script: the POSIX shell script that agents call, and the command line that calls it.

Rule: the script ends with exit code 0 and prints nothing by itself, at every event but FileChanged. There it claims
the broker's `.wake` file, prints a fixed line and ends with 2, at which Claude Code starts a turn. Each event but
that and a session's start first writes the session's state, with the shell's own commands. Python is started only for
a session's start and end, where `.pending` shows that mail waits, and where another process has ended the session. So
a hook without mail starts no Python. The script reads standard input to the end, because Claude Code and Codex report
a hook that closes it early as broken. Only another program, `cat`, can do that: a shell's own `read` takes a system
call for each byte, which is 13 ms for an input of 60,000. In an agent's own `sh` the line reads the script with `.`:
a second shell would cost as much as half of the first.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from maestro_runtime import atomic_file, ownership, places
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts import waking

from . import agents
from .state_files import hooks_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "maestro-hook"
# The third word of the command at a session's start: whether the hooks are installed to wake the agent.
WAKE: Final = "wake"
NO_WAKE: Final = "no-wake"
# What the agent reads when it is woken.
WAKE_NOTICE: Final = f"{waking.NOTICE} has come; it is shown with this notice."

# True in a shell that is none of these three. They read the script differently (fish and zsh), or have read files of
# the user's before it (bash), so another shell gets it there.
_PLAIN_SHELL: Final = 'test -z "$BASH_VERSION$FISH_VERSION$ZSH_VERSION"'

# A line that `command` has written, for any data directory. It must match from start to end: a line that only
# contains ours belongs to another program, and is neither run nor removed.
_WORD = rf"(?P<script>'(?:[^'\\\n\r\0]|'\\'')*/{NAME}')"
_WORDS = r"(?P<words>[a-z-]+ [A-Za-z]+(?P<wake> (?:no-)?wake)?)"
_FORMS = (
    re.compile(
        rf"test -r {_WORD} \|\| exit 0; {re.escape(_PLAIN_SHELL)} && set -- {_WORDS} && \. (?P=script); "
        r"exec /bin/sh (?P=script) (?P=words)"
    ),
    # That of an agent that runs a login shell, and of earlier versions; with -x, and without a third word at a start,
    # of still earlier ones.
    re.compile(rf"test -[rx] {_WORD} && exec (?:/bin/sh )?(?P=script) {_WORDS} \|\| true"),
)

_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")

_SCRIPT = """\
#!/bin/sh
# Written by `maestro hooks install`. It is called as: @name@ AGENT EVENT [wake|no-wake], with the agent's JSON on
# standard input. The third word comes with a session's start: whether the hooks are installed to wake the agent.
umask 077
agent=${1-} event=${2-} wake=
case ${3-} in wake | no-wake) wake=--$3 ;; esac
python=@python@
data=@data@
[ -z "${MAESTRO_DATA_DIR-}" ] || data=$MAESTRO_DATA_DIR
case $data in "~/"*) data=${HOME-}/${data#"~/"} ;; esac
# In the plainest locale `cat` starts sooner.
input=$(LC_ALL=C cat)
# Agents write these fields first. Look only there: the time of a search grows with the square of the length.
head=$input
[ ${#head} -le 4096 ] || head=$(printf '%.4096s' "$head")

# Set `value` to a text field of the input; empty where it is absent, or has other characters than a plain word.
field() {
  value=
  case $head in
  *"\\"$1\\""*)
    value=${head#*"\\"$1\\""}
    value=${value#*\\"}
    value=${value%%\\"*}
    ;;
  esac
  case $value in *[!A-Za-z0-9_.:-]*) value= ;; esac
}

# Set `session`, and the agent's `process` with its `start`, from the link of the agent's own session.
find_session() {
  session='' start='' process=$PPID
  field session_id
  link=$data/hooks/links/$agent/$value
  case $value in
  '' | *[!A-Za-z0-9_-]*) ;;
  *)
    if [ -f "$link" ] && [ -r "$link" ]; then
      {
        read -r session && read -r _ && read -r _
        first=
        while read -r pid rest; do
          [ "$pid" != "$PPID" ] || start=$rest
          [ -n "$first" ] || first="$pid $rest"
        done
        # The daemon of Codex runs the hooks of all its screens. The link names the one of this session.
        case $agent:$start in codex:) [ -z "$first" ] || process=${first%% *} start=${first#* } ;; esac
      } < "$link"
    fi
    ;;
  esac
  [ -n "$session" ] || session=${MAESTRO_SESSION_ID-}
  # The operator's mail is a person's, whatever a variable says.
  case $session in operator | *[!A-Za-z0-9_-]*) session= ;; esac
  state_file=$data/hooks/state/$session
}

# Write the session's state (maestro_runtime/hook_state.py): over the old one, in one call, with no process started.
# Its detail is $2, or else that of the turn.
sign() {
  # Root with a user's home writes nothing into that user's data.
  [ -O "$data" ] || [ ! -e "$data" ] || return 0
  line="$1
$signed $agent $process ${start:--} ${2:-$turn}"
  { printf '%s\\n' "$line" 1<> "$state_file"; } 2> /dev/null && return
  mkdir -p "$data/hooks/state" 2> /dev/null && { printf '%s\\n' "$line" 1<> "$state_file"; } 2> /dev/null
}

# Carry out the wake that the broker asks for by the file `.wake`, and end with 2. Who removes the file has claimed
# the wake. A wake carries no mail: the hook of the turn that it starts brings that.
wake_agent() {
  mailbox=$data/messages/by-receiver/$session
  [ "${MAESTRO_WAKE-}" != off ] && [ -O "$data" ] && [ -f "$mailbox/.wake" ] && [ -e "$mailbox/.pending" ] || exit 0
  field event
  [ "$value" != unlink ] || exit 0
  when=
  [ ! -r "$mailbox/.wake" ] || read -r when < "$mailbox/.wake"
  case $when:$before in
  any:*) ;;
  # The turn's own hooks bring the mail, and the broker asks again if they don't.
  *:working | *:waiting) exit 0 ;;
  esac
  rm "$mailbox/.wake" 2> /dev/null || exit 0
  echo '@notice@' >&2
  exit 2
}

after_end='' turn=- signed=$event
if [ -n "${MAESTRO_BROKER-}" ]; then
  # The broker is on another machine, where no state file and no marker of this one is: ask the broker.
  case $event in PermissionRequest | Notification | FileChanged) exit 0 ;; esac
elif [ "$event" != SessionStart ]; then
  find_session
  [ -n "$session" ] || exit 0
  before='' detail=''
  if [ -f "$state_file" ] && [ -r "$state_file" ]; then
    { read -r before && read -r _ _ _ _ detail; } < "$state_file"
  fi
  # Qwen Code calls this hook for results of tools too. Only a prompt has this field, and it is the last one.
  case $agent:$event in
  qwen-code:UserPromptSubmit)
    case $input in *',"submitted_prompt":"'* | *', "submitted_prompt": "'*) ;; *) signed=PostToolUse ;; esac
    ;;
  esac
  # A turn that a wake began says so to its end; a person's prompt ends that.
  case $signed in
  UserPromptSubmit | BeforeAgent) case $head in *'@words@'*) turn=@woken@ ;; esac ;;
  *) [ "$detail" != @woken@ ] || turn=@woken@ ;;
  esac
  case $event in
  FileChanged) wake_agent ;;
  Stop | AfterAgent) sign idle ;;
  SessionEnd) sign left ;;
  PermissionRequest)
    field tool_name
    sign waiting "permission${value:+:$value}"
    exit 0
    ;;
  Notification)
    field notification_type
    case $before:$value in
    waiting:idle_prompt | working:idle_prompt) sign idle ;;
    waiting:*) ;;
    *:permission_prompt | *:elicitation_dialog) sign waiting "$value" ;;
    *:ToolPermission)
      # Of Gemini CLI, with the kind of the tool: exec, edit, mcp, info.
      field type
      sign waiting "permission${value:+:$value}"
      ;;
    esac
    exit 0
    ;;
  *) sign working ;;
  esac
  case $before:$event in
  *:SessionEnd) ;;
  # The end of another process has ended the session, and this one goes on.
  left:*) after_end=--after-end ;;
  *) [ -e "$data/messages/by-receiver/$session/.pending" ] || exit 0 ;;
  esac
fi
[ -x "$python" ] || exit 0
MAESTRO_DATA_DIR=$data
export MAESTRO_DATA_DIR
log=/dev/null
mkdir -p "$data/logs" 2> /dev/null && [ -w "$data/logs" ] && log=$data/logs/hooks.log
# A FIFO in its place would be waited for.
[ ! -e "$log" ] || [ -f "$log" ] || log=/dev/null
[ "$log" = /dev/null ] || (: >> "$log") 2> /dev/null || log=/dev/null
printf '%s' "$input" |
  "$python" -P -m maestro_cli hooks run "$agent" "$event" --agent-pid "$PPID" $after_end $wake 2>> "$log"
if [ "$event" = SessionStart ] && [ -z "${MAESTRO_BROKER-}" ]; then
  # A compaction comes in the middle of a turn, and a subagent is a part of one.
  case $head in *'"agent_id"'*) exit 0 ;; esac
  field source
  [ "$value" != compact ] || exit 0
  find_session
  [ -z "$session" ] || sign idle
fi
exit 0
"""


def script_path(data: str) -> str:
    """The path of a data directory's script."""
    return os.path.join(hooks_dir(data), NAME)


def command(script: str, agent: str, event: str, wake: str = "") -> str:
    """The command line for an agent's settings. It works in any shell that an agent may use, fish included. If the
    script no longer exists, it prints nothing and succeeds. `wake`: WAKE, NO_WAKE or empty. Raises MaestroError
    INVALID for a path that no settings can hold."""
    if places.shown(script) != script:
        raise MaestroError(
            "INVALID",
            f"{places.shown(script)} can't be named in an agent's settings: it has a byte that is no UTF-8, and JSON "
            "holds only Unicode",
            "Set MAESTRO_DATA_DIR to a plainer path.",
        )
    word = quoted(script)
    words = " ".join(filter(None, (agent, event, wake)))
    # By `sh`, and not by the script's mode: on a file system that is mounted noexec, no script can be executed.
    run = f"exec /bin/sh {word} {words}"
    if agents.named(agent).has_login_shell:
        return f"test -r {word} && {run} || true"
    return f"test -r {word} || exit 0; {_PLAIN_SHELL} && set -- {words} && . {word}; {run}"


def is_own_command(line: object) -> bool:
    """Whether `command` has written this command line of an agent's settings."""
    return isinstance(line, str) and _found(line) is not None


def wake_word(line: str) -> str:
    """The word about waking in one of our command lines: WAKE, NO_WAKE, or empty."""
    found = _found(line)
    return (found["wake"] or "").strip() if found is not None else ""


def _found(line: str) -> re.Match[str] | None:
    return next(filter(None, (form.fullmatch(line) for form in _FORMS)), None)


def mentions_script(line: str) -> bool:
    """Whether a command line contains our script's name; `is_own_command` says whether we have written the line."""
    return f"/{NAME}" in line


def is_current(data: str, python: str) -> bool:
    """Whether the script of `data` has exactly the bytes that `write` would write. Raises MaestroError INVALID, and
    OSError where the script can't be read."""
    body = text(data, python).encode("utf-8", "surrogateescape")
    return places.read(script_path(data), len(body) + 1) == body


def text(data: str, python: str) -> str:
    """The script for a data directory. `python`: the interpreter's path. Raises MaestroError INVALID."""
    words = {
        "@name@": NAME,
        "@python@": quoted(python),
        "@data@": quoted(data),
        "@notice@": WAKE_NOTICE,
        "@words@": waking.NOTICE,
        "@woken@": waking.WOKEN,
    }
    # One pass, so that a path that contains one of these words stays as it is.
    return re.sub("|".join(words), lambda found: words[found[0]], _SCRIPT)


def write(data: str, python: str) -> str:
    """Write the script atomically. Returns its path. Raises MaestroError DATA_DIR_UNUSABLE, NOT_PRIVATE."""
    ownership.check_data_dir(data)
    path = script_path(data)
    body = text(data, python).encode("utf-8", "surrogateescape")
    try:
        places.make_directory(hooks_dir(data))
        atomic_file.replace(path, body, durable=False, mode=0o700, aside=f"{path}.{os.getpid()}.new")
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE",
            f"the hooks' script {places.shown(path)} can't be written",
            error,
            "Or set MAESTRO_DATA_DIR to another directory.",
        ) from None
    return path


def prompt_display(environ: Mapping[str, str]) -> str:
    """A script for any agent that shows a command's output at its prompt."""
    return f"""\
#!/bin/sh
# Prints the new mail of this shell's session, and nothing if there is none.
if [ -n "$MAESTRO_SESSION_ID" ]; then
  {maestro_command(environ)} inbox --quiet
fi
"""


def maestro_command(environ: Mapping[str, str]) -> str:
    """`maestro` where PATH has it; else the path of this installation's `maestro`, quoted if necessary."""
    import sys

    folders = environ.get("PATH", "").split(os.pathsep)
    if any(os.access(os.path.join(folder, "maestro"), os.X_OK) for folder in folders if os.path.isabs(folder)):
        return "maestro"
    beside = os.path.join(os.path.dirname(sys.executable), "maestro")
    if not os.access(beside, os.X_OK):
        return "maestro"
    return beside if _PLAIN.fullmatch(beside) else quoted(beside)


def quoted(path: str) -> str:
    """A path, quoted as one shell word. Raises MaestroError INVALID for characters that shells treat differently."""
    if any(character in path for character in "\n\r\0\\"):
        raise MaestroError(
            "INVALID",
            f"{path!r} can't be used in a shell command: it has a backslash or a line break",
            "Set MAESTRO_DATA_DIR to a plainer path, or install maestro below one.",
        )
    return "'" + path.replace("'", "'\\''") + "'"
