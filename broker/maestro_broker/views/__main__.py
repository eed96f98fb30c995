"""Spool processes: `python -m maestro_broker.views --data-dir DIR verify` and `... export`.

Rule: they only read. The command line runs them as processes, because it must not import the broker's code.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING

from maestro_broker.files import data_dir, disk
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from .export import SpoolExporter
from .verify import SpoolVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping

# The shell's 128 + SIGPIPE: the reader has enough, which is no failure.
_PIPE_CLOSED = 141


def main() -> int:
    """Run one of the two; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m maestro_broker.views", description=__doc__)
    parser.add_argument("action", choices=("verify", "export"))
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--is-served", action="store_true", help="verify: a broker is running on this directory")
    parser.add_argument("--session", help="export: only the files that concern this session")
    parser.add_argument("--progress-fd", type=int, help="export: a descriptor for progress as JSON lines")
    arguments = parser.parse_args()
    if arguments.action == "verify":
        return _verify(arguments.data_dir, is_served=arguments.is_served)
    return _export(arguments.data_dir, arguments.session, arguments.progress_fd)


def _verify(data: str, *, is_served: bool) -> int:
    """Write the result as JSON lines; 1 if something is wrong."""

    def report(line: Mapping[str, object]) -> None:
        sys.stdout.write(json.dumps(line, ensure_ascii=True) + "\n")
        sys.stdout.flush()

    verifier = SpoolVerifier(data, report, is_served=is_served)
    verifier.run()
    return 1 if verifier.findings else 0


def _export(data: str, session: str | None, progress_fd: int | None) -> int:
    """Write the data directory to standard output."""

    def report(lines: int) -> None:
        if progress_fd is not None:
            os.write(progress_fd, json.dumps({"looked": lines}).encode() + b"\n")

    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    try:
        # A newer format may hold files that this version does not know. A directory without a format is exported.
        with contextlib.suppress(FileNotFoundError):
            data_dir.check_version(data)
        SpoolExporter(data, session, sys.stdout.write, report).run()
        sys.stdout.flush()
    except MaestroError as error:
        print(f"maestro: {error.message}\n  next: {error.hint}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _PIPE_CLOSED
    except OSError as error:
        if error.errno in disk.FULL:
            print(f"maestro: the export can't be written: {error.strerror}", file=sys.stderr)
            # Buffered text would be written at exit and fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 1
        fault = places.refusal("CORRUPT", "not everything can be read", error, "Then export again.")
        print(f"maestro: {fault.message}\n  next: {fault.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
