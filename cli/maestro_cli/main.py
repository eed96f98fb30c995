"""Main: from an argument vector to an exit code.

Rule: only `sys` is imported at the top, since every prompt of every agent pays for what is. Errors end here: each
is told once, in words, and becomes an exit code.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maestro_schemas.errors import MaestroError

# Their values are text for other eyes and may look like anything: `--message --help` is a message.
_TEXT_OPTIONS = ("--message", "-m")
_SENDERS = (["send"], ["session", "send"])
_HOOK = ["hooks", "run"]


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in _as_users_mean(tokens)
    from . import exit_codes, fast_path
    from .output import streams

    streams.prepare()
    try:
        try:
            return fast_path.run(tokens)
        except fast_path.NotFastError as left:
            tokens = _as_users_mean(left.tokens)
        if tokens[:2] == _HOOK and "--help" not in tokens:
            return _answer_hook(tokens[2:])
        return _run(tokens, as_json=as_json)
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except streams.StdoutClosed:
        return exit_codes.PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the one place: a fault of ours is told, not thrown at the user
        from maestro_schemas.errors import MaestroError

        from . import crash_log

        known = error if isinstance(error, MaestroError) else crash_log.record(error)
        if tokens[:2] == _HOOK:
            return _excuse_hook(known, tokens[2:])
        try:
            streams.complain(known, as_json=as_json)
        except streams.StdoutClosed:
            return exit_codes.PIPE_CLOSED
        return exit_codes.of(known)


def _answer_hook(arguments: list[str]) -> int:
    """What agents call at every turn: without the parser, whose import alone takes longer than the rest. It never
    fails, since an agent takes some exit codes for an order to stop."""
    from . import exit_codes
    from .hooks import invocation
    from .output import streams

    try:
        invocation.run(arguments)
    except streams.StdoutClosed:
        invocation.log("the agent closed the hook's output; what was to be shown comes again", arguments)
    except OSError as error:
        invocation.log(f"{type(error).__name__}: {error}", arguments)
    return exit_codes.DONE


def _excuse_hook(error: "MaestroError", arguments: list[str]) -> int:
    from . import exit_codes
    from .hooks import invocation

    invocation.log(f"{error.code}: {error.message}", arguments)
    return exit_codes.DONE


def _run(tokens: list[str], *, as_json: bool) -> int:
    from cyclopts import CycloptsError, UnusedCliTokensError

    from maestro_schemas.errors import MaestroError

    from . import command_table, exit_codes
    from .output import streams

    app = command_table.build()
    try:
        result = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        command = " ".join(["maestro", *(error.command_chain or ())])
        # The parser's own words for this one are a Python list.
        extra = " ".join(error.unused_tokens or ()) if isinstance(error, UnusedCliTokensError) else ""
        what = f"unexpected argument: {extra}" if extra else str(error).strip()
        wrong = MaestroError("INVALID", what[:1].lower() + what[1:], f"{command} --help")
        streams.complain(wrong, as_json=as_json)
        return exit_codes.USAGE
    return result if isinstance(result, int) else exit_codes.DONE


def _as_users_mean(tokens: list[str]) -> list[str]:
    """`help x y` becomes `x y --help`; a text option and its value become one token, because the parser looks for
    `--help`, `--version` and `--` anywhere in the line before it binds values."""
    if tokens[:1] == ["help"]:
        return [*tokens[1:], "--help"]
    if not any(tokens[: len(sender)] == sender for sender in _SENDERS):
        return tokens
    joined: list[str] = []
    rest = iter(tokens)
    for token in rest:
        if token in _TEXT_OPTIONS:
            value = next(rest, None)
            joined.append(token if value is None else f"{token}={value}")
        else:
            joined.append(token)
    return joined
