"""Logs: JSON lines in the file, plain text on the terminal."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from maestro_runtime import logs

if TYPE_CHECKING:
    import pytest


def test_json_lines_in_the_file_and_plain_text_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both get the same records, with the traceback of an exception."""
    log = logging.getLogger("maestro_broker")
    before = list(log.handlers)
    path = logs.start(str(tmp_path), "broker", "maestro_broker", foreground=True)
    try:
        logging.getLogger("maestro_broker.views.spool_writer").info("one %d", 1)
        try:
            int("boom")
        except ValueError:
            log.exception("it failed")
        log.info("a name \u009b2J\u202e\U000e0041 of another")
    finally:
        for handler in [handler for handler in log.handlers if handler not in before]:
            log.removeHandler(handler)
            handler.close()
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert [(line["module"], line["level"], line["message"]) for line in lines] == [
        ("spool_writer", "info", "one 1"),
        ("maestro_broker", "error", "it failed"),
        ("maestro_broker", "info", "a name \u009b2J\u202e\U000e0041 of another"),
    ]
    assert "ValueError: invalid literal" in lines[1]["traceback"]
    assert not {"\u009b", "\u202e", "\U000e0041"} & set(Path(path).read_text())
    shown = capsys.readouterr().err
    assert "a name  of another" in shown
    assert "one 1" in shown
    assert "error: it failed\nTraceback" in shown
