"""Main: from an argument vector to an exit code.

Rule: only `sys` is imported at the top, because every prompt of every agent pays for an import here. Errors end here:
each is reported once, in words, and becomes an exit code.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from maestro_schemas.errors import MaestroError

_HOOK = ["hooks", "run"]
# The new objects before the first search for unused cycles. The interpreter's 700 make four to six searches in an
# everyday command, 1 to 1.6 ms of it, which find nothing. One that runs for long still has them.
_OBJECTS_BEFORE_SEARCH = 20_000


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    import gc

    gc.set_threshold(_OBJECTS_BEFORE_SEARCH)
    from .output import streams

    streams.prepare()
    try:
        if tokens[:2] == _HOOK and "--help" not in tokens:
            return _answer_hook(tokens[2:])
        return _run(tokens)
    except KeyboardInterrupt:
        from . import exit_codes

        return exit_codes.INTERRUPTED
    except streams.StdoutClosed:
        from . import exit_codes

        return exit_codes.PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the one place that reports a defect of ours, without a traceback
        from maestro_schemas.errors import MaestroError

        from . import crash_log, exit_codes

        known = error if isinstance(error, MaestroError) else _misplaced(error) or crash_log.record(error)
        if tokens[:2] == _HOOK:
            return _log_hook_error(known, tokens[2:])
        try:
            streams.complain(known, as_json=_wants_json(tokens))
        except streams.StdoutClosed:
            return exit_codes.PIPE_CLOSED
        return exit_codes.of(known)


def leave(code: int) -> "NoReturn":
    """End the process with an exit code, after everything printed is flushed.

    Taking the interpreter down piece by piece costs 1.4 ms of every command. It is left out where no module has asked
    to be called at the end (`atexit`) and no thread was started: then nothing could notice.
    """
    if "atexit" not in sys.modules and "threading" not in sys.modules:
        import os

        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # its descriptor was closed before the command started
                    stream.flush()
        except (OSError, ValueError):
            sys.exit(code)
        os._exit(code)
    sys.exit(code)


def _misplaced(error: Exception) -> "MaestroError | None":
    """The error for a path that is not what it must be, or may not be used; None for a defect of ours."""
    if not isinstance(error, OSError):
        return None
    from maestro_runtime import places

    if places.explained(error) is None:
        return None
    return places.refusal("DATA_DIR_UNUSABLE", "a path can't be used", error, "Then run the command again.")


def _answer_hook(arguments: list[str]) -> int:
    """Answer an agent's hook without a parser, because the agent calls it at every turn. It never fails, since agents
    take some exit codes for an order to stop."""
    from . import exit_codes
    from .hooks import invocation
    from .output import streams

    try:
        invocation.run(arguments)
    except streams.StdoutClosed:
        invocation.log("the agent closed the hook's output; the mail will be shown again", arguments)
    except OSError as error:
        invocation.log(f"{type(error).__name__}: {error}", arguments)
    return exit_codes.DONE


def _log_hook_error(error: "MaestroError", arguments: list[str]) -> int:
    from . import exit_codes
    from .hooks import invocation

    invocation.log(f"{error.code}: {error.message}", arguments)
    return exit_codes.DONE


def _run(tokens: list[str]) -> int:
    import os

    from . import fast_path

    if tokens in ([], ["--json"]):
        from .presence import home

        return home.run(as_json=bool(tokens))
    command = fast_path.parse(tokens) if fast_path.is_on(os.environ) else None
    return _run_by_cyclopts(tokens) if command is None else command.run()


def _run_by_cyclopts(tokens: list[str]) -> int:
    from . import exit_codes, version_text
    from .output import streams

    words = _for_cyclopts(tokens)
    answer = version_text.asked_for(tokens)
    if answer is None:
        from .help import command_help

        answer = command_help.asked_for(tokens, words)
    if answer is None:
        return _called(tokens, words)
    streams.say(answer)
    return exit_codes.DONE


def _called(tokens: list[str], words: list[str]) -> int:
    import io

    from cyclopts import CycloptsError
    from rich.console import Console

    from . import command_table, exit_codes
    from .help.command_rows import every_command
    from .output import streams, usage_errors

    # The version is gathered, and written as all output is: rich has answers of its own to a closed pipe.
    printed = io.StringIO()
    try:
        result = command_table.build(words)(
            words,
            console=Console(file=printed, color_system=None),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        streams.complain(
            usage_errors.explained(error, tokens, [path for path, _ in every_command()]),
            as_json=_wants_json(tokens),
        )
        return exit_codes.USAGE
    if printed.tell():
        streams.say(printed.getvalue().rstrip("\n"))
    return result if isinstance(result, int) else exit_codes.DONE


def _for_cyclopts(tokens: list[str]) -> list[str]:
    """`help x y` is `x y --help`; an option of free text and its value are one token."""
    if tokens[:1] == ["help"]:
        return [*tokens[1:], "--help"]
    from . import fast_path

    return fast_path.text_joined(tokens)


def _wants_json(tokens: list[str]) -> bool:
    """Whether errors are reported in JSON too; the command may not have been parsed."""
    words = _for_cyclopts(tokens)
    return "--json" in words[: words.index("--") if "--" in words else None]
