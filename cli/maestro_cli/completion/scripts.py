"""Completion: what Tab can offer after `maestro`, and the scripts that offer it.

Rule: the scripts are made from the tree of commands, so that they can't know another one; and on Tab they run nothing
but their own shell, which reads the files of the post office for what changes (sessions, the ids of one's own mail).
Starting Python would take longer than a person waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin

from cyclopts import App

from maestro_cli import command_table
from maestro_runtime import config
from maestro_schemas import events, limits

if TYPE_CHECKING:
    from collections.abc import Iterator

Shell = Literal["bash", "zsh", "fish"]
NAMES = ("maestro", "maestro-messaging")
MARK = "made by `maestro completion`"

# What a value is, where its type does not tell: by option, or by the command that takes it without one.
_SESSION_OPTIONS = frozenset({"--session", "--parent"})
_MESSAGE_OPTIONS = frozenset({"--reply-to"})
# In whose folders of one's own the message is that a command takes: all the others take either.
_FOLDERS = {
    "message receipt": ("by-sender",),
    "message retry": ("by-sender",),
    "message read": ("by-receiver",),
    "message reply": ("by-receiver",),
    "message delete": ("by-receiver",),
    "session send": ("by-receiver",),
    "send": ("by-receiver",),
}
_FILE_OPTIONS = frozenset({"--file", "--out"})


class Value(NamedTuple):
    """What comes after an option or a command. `kind`: switch (nothing does), words, session, receiver, message (its
    words are the folders to look into), file, or text (which nobody can guess)."""

    kind: str
    words: tuple[str, ...] = ()


class Command(NamedTuple):
    """One command. `path`: its words. `options`: each with its names. `argument`: what it takes without an option."""

    path: str
    about: str
    options: list[tuple[tuple[str, ...], Value]]
    argument: Value | None


def commands() -> list[Command]:
    """All of them, families too (those take the words of their commands)."""
    return list(_walk(command_table.build(), (), ""))


def _walk(app: App, path: tuple[str, ...], about: str) -> Iterator[Command]:
    names = [name for name in app if not name.startswith("-")]
    where = " ".join(path)
    if names:
        options: list[tuple[tuple[str, ...], Value]] = [(("--help",), Value("switch"))]
        if not path:
            options.append((("--version",), Value("switch")))
        yield Command(where, about, options, Value("words", tuple(names)))
        for name in names:
            yield from _walk(app[name], (*path, name), app[name].help or "")
        return
    found: list[tuple[tuple[str, ...], Value]] = []
    argument = None
    for one in app.assemble_argument_collection():
        value = _value(where, one.names[0], one.hint)
        if one.names[0].startswith("-"):
            negatives = one.parameter.negative
            more = (negatives,) if isinstance(negatives, str) and negatives else tuple(negatives or ())
            found.append(((*one.parameter.name, *more), value))  # type: ignore[misc]
        elif argument is None:
            argument = value
    yield Command(where, about, [*found, (("--help",), Value("switch"))], argument)


def _value(path: str, name: str, hint: Any) -> Value:
    words = _words(hint)
    if words:
        return Value("words", words)
    if hint is bool or bool in get_args(hint):
        return Value("switch")
    if name == "--to":
        return Value("receiver")
    if name in _SESSION_OPTIONS or (path.startswith("session ") and name == "ID"):
        return Value("session")
    is_message = name == "ID" and path.startswith("message ")
    if is_message or name in _MESSAGE_OPTIONS or (path, name) == ("timeline", "--message"):
        return Value("message", _FOLDERS.get(path, ("by-receiver", "by-sender")))
    if name in _FILE_OPTIONS:
        return Value("file")
    if (path, name) == ("up", "--set"):
        return Value("words", tuple(f"{setting.removesuffix('_ms')}=" for setting in sorted(limits.DOCS)))
    if (path, name) == ("timeline", "--event"):
        return Value("words", tuple(sorted(events.RECORDED)))
    if (path, name) == ("config show", "NAMES"):
        known = [*sorted(limits.DOCS), *(f"http.{setting}" for setting in sorted(config.SECTIONS["http"]))]
        return Value("words", tuple(setting.removesuffix("_ms") for setting in known))
    return Value("text")


def _words(hint: Any) -> tuple[str, ...]:
    """The words of a Literal, also where it may be None."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next((found for part in get_args(hint) if (found := _words(part))), ())


def script(shell: Shell) -> str:
    """What the shell has to read, once."""
    return _fish() if shell == "fish" else _bash(for_zsh=shell == "zsh")


# --- bash, and zsh behind a function of its own ------------------------------------------------------------------


_BASH_HEAD = r"""
__maestro_data() {
    local home=${HOME%/}
    if [[ -n ${MAESTRO_DATA_DIR-} ]]; then
        case $MAESTRO_DATA_DIR in
            "~/"*) REPLY=$home/${MAESTRO_DATA_DIR#"~/"} ;;
            *) REPLY=$MAESTRO_DATA_DIR ;;
        esac
    elif [[ ${XDG_DATA_HOME-} == /* ]]; then
        REPLY=$XDG_DATA_HOME/maestro
    elif [[ $OSTYPE == darwin* ]]; then
        REPLY="$home/Library/Application Support/maestro"
    else
        REPLY=$home/.local/share/maestro
    fi
}

__maestro_add() {
    if [[ $1 == "$cur"* ]]; then COMPREPLY+=("$1"); fi
}

__maestro_sessions() {
    local file line id name
    __maestro_data
    for file in "$REPLY"/sessions/*.json; do
        [[ -r $file ]] || continue
        IFS= read -r line <"$file" || true
        # Those that have ended are of no use here.
        case $line in *'"completedAt":'*) continue ;; esac
        id=${file##*/}
        id=${id%.json}
        __maestro_add "$id"
        name=${line#*'"name":"'}
        if [[ $name != "$line" ]]; then
            name=${name%%'"'*}
            case $name in "$id" | *[!A-Za-z0-9_.-]*) ;; *) __maestro_add "$name" ;; esac
        fi
    done
}

__maestro_messages() {
    local folder file id
    [[ -n ${MAESTRO_SESSION_ID-} ]] || return 0
    __maestro_data
    for folder in "$@"; do
        for file in "$REPLY/messages/$folder/$MAESTRO_SESSION_ID"/*.json; do
            # A link that leads nowhere is of a message that was deleted.
            [[ -e $file ]] || continue
            id=${file##*/}
            __maestro_add "${id%.json}"
        done
    done
}

__maestro_value() {
    local word
    case $1 in
        session) __maestro_sessions ;;
        receiver) __maestro_add parent; __maestro_sessions ;;
        message) shift; __maestro_messages "$@" ;;
        file) __maestro_files ;;
        words) shift; for word in "$@"; do __maestro_add "$word"; done ;;
    esac
    return 0
}
"""

# `--set rate_limit=` wants its value without a space.
_BASH_OWN = r"""
__maestro_files() {
    # The shell's own way quotes what needs it, and ends a folder with a slash. bash 3 can't be asked for it.
    if compopt -o default 2>/dev/null; then return 0; fi
    local word
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
}

_maestro() {
    __maestro_offer
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
    return 0
}

complete -o nosort -F _maestro @NAMES@
"""

_ZSH_OWN = r"""
__maestro_files() { wants_files=1; }

_maestro() {
    local -a COMP_WORDS COMPREPLY open
    local -i COMP_CWORD=$(( CURRENT - 1 ))
    local wants_files=
    COMP_WORDS=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    if [[ $PREFIX == --*=* ]]; then
        # As bash splits it.
        COMP_WORDS[CURRENT]=("${PREFIX%%=*}" "=" "${(Q)PREFIX#*=}")
        COMP_CWORD+=2
        compset -P 1 '*='
    fi
    () { emulate -L sh; setopt kshglob noshglob braceexpand; __maestro_offer; }
    if [[ -n $wants_files ]]; then
        _files
        return
    fi
    open=(${(M)COMPREPLY:#*=})
    COMPREPLY=(${COMPREPLY:#*=})
    compadd -a COMPREPLY
    compadd -S '' -a open
}

if [[ $funcstack[1] == _maestro ]]; then
    # Found by its file's name, with the first Tab, which wants its answer.
    _maestro "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit; compinit -D; }
    compdef _maestro @NAMES@
fi
"""

_BASH_BODY = r"""
__maestro_offer() {
    local cur prev route word REPLY
    local -i at=1
    COMPREPLY=()
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD-1]}
    # bash takes `--to=x` for three words.
    if [[ $cur == "=" ]]; then cur=; elif [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
    route=
    while (( at < COMP_CWORD )); do
        word=${COMP_WORDS[at]}
        case "$route $word" in
            @ROUTES@) route="${route:+$route }$word" ;;
            *) break ;;
        esac
        at+=1
    done
    case "$route $prev" in
@VALUES@
    esac
    if [[ $cur == -* ]]; then
        case $route in
@OPTIONS@
        esac
        return 0
    fi
    case $route in
@ARGUMENTS@
    esac
    return 0
}
"""


def _bash(*, for_zsh: bool) -> str:
    found = commands()
    routes = "|".join(f'"{_parent(one.path)} {one.path.split()[-1]}"' for one in found if one.path)
    values, options, arguments = [], [], []
    for one in found:
        for names, value in one.options:
            if value.kind != "switch":
                at = "|".join(f'"{one.path} {name}"' for name in names)
                values.append(f"        {at}) __maestro_value {_arguments(value)}; return 0 ;;")
        words = " ".join(name for names, _ in one.options for name in names if name.startswith("--"))
        options.append(f'            "{one.path}") __maestro_value words {words} ;;')
        if one.argument is not None and one.argument.kind != "text":
            arguments.append(f'        "{one.path}") __maestro_value {_arguments(one.argument)} ;;')
    body = _BASH_BODY.replace("@ROUTES@", routes).replace("@VALUES@", "\n".join(values))
    body = body.replace("@OPTIONS@", "\n".join(options)).replace("@ARGUMENTS@", "\n".join(arguments))
    shell, own = ("zsh", _ZSH_OWN) if for_zsh else ("bash", _BASH_OWN)
    first = f"#compdef {' '.join(NAMES)}\n" if for_zsh else ""
    head = f"{first}# Completion of maestro for {shell}, {MARK}.\n"
    return f"{head}{_BASH_HEAD}{body}{own.replace('@NAMES@', ' '.join(NAMES))}"


def _parent(path: str) -> str:
    return " ".join(path.split()[:-1])


def _arguments(value: Value) -> str:
    return " ".join((value.kind, *value.words))


# --- fish ------------------------------------------------------------------------------------------------------


_FISH_HEAD = r"""
function __maestro_data
    if test -n "$MAESTRO_DATA_DIR"
        string replace -r '^~/' "$HOME/" -- $MAESTRO_DATA_DIR
    else if string match -q '/*' -- "$XDG_DATA_HOME"
        echo $XDG_DATA_HOME/maestro
    else if test -d $HOME/Library/"Application Support"
        echo $HOME/Library/"Application Support"/maestro
    else
        echo $HOME/.local/share/maestro
    end
end

function __maestro_sessions
    for file in (__maestro_data)/sessions/*.json
        read -l line <$file
        # Those that have ended are of no use here.
        string match -q '*"completedAt":*' -- $line; and continue
        set -l id (string replace -r '.*/(.*)\.json$' '$1' -- $file)
        echo $id
        set -l name (string match -r '"name":"([A-Za-z0-9_.-]+)"' -- $line)
        test (count $name) -gt 1; and test $name[2] != $id; and echo $name[2]
    end
    true
end

function __maestro_receivers
    echo parent
    __maestro_sessions
end

function __maestro_messages
    test -n "$MAESTRO_SESSION_ID"; or return
    for folder in $argv
        for file in (__maestro_data)/messages/$folder/$MAESTRO_SESSION_ID/*.json
            # A link that leads nowhere is of a message that was deleted.
            test -e $file; and string replace -r '.*/(.*)\.json$' '$1' -- $file
        end
    end
    true
end

# Whether the words so far lead to one command, and no further.
function __maestro_at
    set -l words (commandline -opc)[2..-1]
    set -l wanted (string split ' ' -- $argv[1])
    set -l route
    for word in $words
        contains -- "$route $word" $__maestro_routes; or break
        set route (string trim -- "$route $word")
    end
    test "$route" = "$argv[1]"
end
"""


def _fish() -> str:
    found = commands()
    routes = " ".join(f"'{_parent(one.path)} {one.path.split()[-1]}'" for one in found if one.path)
    lines = [f"# Completion of maestro for fish, {MARK}.{_FISH_HEAD}", f"set -g __maestro_routes {routes}"]
    for name in NAMES:
        lines.append(f"complete -c {name} -f")
        for one in found:
            at = f"complete -c {name} -n \"__maestro_at '{one.path}'\""
            if one.argument is not None and (offered := _fish_values(one.argument)):
                lines.append(f"{at} {offered}")
            for names, value in one.options:
                flags = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in names)
                if value.kind == "switch":
                    lines.append(f"{at} {flags}")
                else:
                    lines.append(f"{at} {flags} {_fish_values(value) or '-x'}")
    return "\n".join(lines) + "\n"


def _fish_values(value: Value) -> str:
    match value.kind:
        case "words":
            return f"-xa '{' '.join(value.words)}'"
        case "session" | "receiver" | "message":
            return f"-xa '({' '.join((f'__maestro_{value.kind}s', *value.words))})'"
        case "file":
            return "-rF"
    return ""
