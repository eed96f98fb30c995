"""`maestro demo`: the whole system at work, in a scratch directory.

Rule: it reports only what it has observed. Each step is checked where its effect is (a process's output, a reply, a
file), and a step that did not happen ends the demo with a non-zero exit.
"""

from __future__ import annotations

import signal
import sys
import time

from maestro_cli import exit_codes
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Annotated, Any

    from maestro_cli.options import Option

DETAILS = """\
It starts a broker of its own, an orchestrator and two workers as processes, and
removes everything afterwards. Your own post office is not touched.

Examples:
  maestro demo
  maestro demo --keep"""


def run(*, keep: Annotated[bool, Option(help="Keep the directory.")] = False) -> int:
    """Run the demo."""
    from maestro_cli.demo.play import Play
    from maestro_cli.demo.stage import Stage, StepFailed
    from maestro_schemas.errors import MaestroError

    began = time.monotonic()
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with Stage(keep=keep) as stage:
            kept = "kept" if keep else "removed at the end; --keep keeps it"
            streams.say(f"A post office in {stage.root} ({kept}).")
            try:
                Play(stage).all()
            except (StepFailed, MaestroError) as error:
                streams.note(f"maestro: the demo failed: {error}")
                streams.note(
                    f"  next: look into {stage.root}" if keep else "  next: maestro demo --keep, and look inside"
                )
                return exit_codes.FAILED
        streams.say(f"\nAll of it happened, in {time.monotonic() - began:.1f} s.")
        return exit_codes.DONE
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(_number: int, _frame: FrameType | None) -> Any:
    # As an exception, so that the stage is cleared.
    sys.exit(exit_codes.TERMINATED)
