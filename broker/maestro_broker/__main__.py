"""`python -m maestro_broker`: one broker process.

Rule: it reports on the pipe of `--ready-fd` that it serves, or why not. It exits with 0 only after an ordered stop.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time

from maestro_runtime import logs, places
from maestro_runtime.traces import end_note, ready_pipe
from maestro_schemas.errors import FatalError, MaestroError

from .files.disk import FULL
from .server import options
from .server.lifecycle import Broker
from .transport import socket_activation

# The convention of shells: 128 plus the number of the signal.
_INTERRUPTED = 130


def main() -> int:
    """Run one broker; returns the exit code."""
    parser = argparse.ArgumentParser(prog="maestro_broker", description="The broker; `maestro up` starts it.")
    parser.add_argument("--data-dir", help="default: MAESTRO_DATA_DIR, else the user's data directory")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a limit, e.g. rate_limit=60"
    )
    parser.add_argument("--ready-fd", type=int, help="a pipe that gets `ready`, or `error` with the reason")
    parser.add_argument("--foreground", action="store_true", help="log to standard error too")
    parser.add_argument("--tcp", metavar="HOST:PORT", help="serve other machines too; notices at the next port")
    arguments = parser.parse_args()
    log = logging.getLogger("maestro_broker")
    os.umask(0o077)  # only this user may read the files that the broker makes
    runtime = ""
    try:
        settings = dict(_setting(text) for text in arguments.set)
        chosen = options.resolve(
            arguments.data_dir,
            settings,
            os.environ,
            ready_fd=arguments.ready_fd,
            foreground=arguments.foreground,
            tcp=arguments.tcp,
            activation=socket_activation.inherited_sockets(os.environ, os.getpid()),
        )
        runtime = chosen.runtime
        broker = Broker(chosen)
        broker.prepare()
        logs.start(chosen.data, "broker", "maestro_broker", foreground=chosen.foreground)
        broker.start()
        ready_pipe.report(arguments.ready_fd, "ready")
        socket_activation.notify(os.environ, "READY=1")
        # The pipe is closed. Its number may belong to another file now, such as a segment of the journal.
        arguments.ready_fd = None
        broker.serve()
        socket_activation.notify(os.environ, "STOPPING=1")
        broker.stop()
    except MaestroError as error:
        ready_pipe.report(arguments.ready_fd, f"error {json.dumps(error.body())}")
        log.critical("%s: %s %s", error.code, error.message, error.hint)
        print(f"maestro broker: {error.message}\n  next: {error.hint}", file=sys.stderr)
        if isinstance(error, FatalError):
            _leave_note(runtime, f"{error.message}. {error.hint}")
        return 1
    except KeyboardInterrupt:
        # Ctrl-C before the signal handlers were installed: any step of a start may be interrupted.
        print("maestro broker: interrupted while it started; what was accepted is safe", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        fault = _typed(error)
        ready_pipe.report(arguments.ready_fd, f"error {json.dumps(fault.body())}")
        log.critical("the broker ends: %r", error, exc_info=True)
        print(f"maestro broker: {fault.message}\n  next: {fault.hint}", file=sys.stderr)
        _leave_note(runtime, f"{fault.message}. {fault.hint}")
        return 1
    return 0


def _leave_note(runtime: str, reason: str) -> None:
    """`runtime`: the directory of the sockets, once it is known."""
    if runtime:
        now = time.strftime("%Y-%m-%d %H:%M:%S %z")
        path = end_note.write(runtime, reason, pid=os.getpid(), now=now)
        print(f"maestro broker: the reason is also in {path or 'the log of the system'}", file=sys.stderr)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise MaestroError(
            "BAD_SETTING", f"--set takes NAME=VALUE, not {text!r}", "For example: --set rate_limit=600"
        )
    return name, value


def _typed(error: Exception) -> MaestroError:
    if isinstance(error, OSError) and error.errno in FULL:
        return MaestroError(
            "STORAGE_FULL",
            f"the disk has no room for the broker: {error}",
            "Free some space and start it again: what was accepted is safe.",
            retry_after_s=2.0,
        )
    if isinstance(error, OSError) and places.explained(error) is not None:
        return places.refusal("DATA_DIR_UNUSABLE", "the broker can't use a path", error, "Then start it again.")
    return MaestroError(
        "INTERNAL", f"the broker failed: {error!r}", "Its log, logs/broker.log in the data directory, says where."
    )


if __name__ == "__main__":
    sys.exit(main())
