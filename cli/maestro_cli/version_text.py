"""Version text: what `maestro --version` prints, and with `--verbose` or `--json` what a report of a fault needs."""

from __future__ import annotations

import sys

from maestro_schemas import DATA_FORMAT_VERSION, PROTOCOL_VERSION, __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MORE = {"--verbose", "--json"}


def asked_for(tokens: Sequence[str]) -> str | None:
    """The answer to `maestro --version`; None where the tokens ask for something else."""
    if tokens[:1] != ["--version"] or not set(tokens[1:]) <= _MORE:
        return None
    python = ".".join(map(str, sys.version_info[:3]))
    if "--json" in tokens:
        found = {
            "version": __version__,
            "python": python,
            "protocol": PROTOCOL_VERSION,
            "dataFormat": DATA_FORMAT_VERSION,
        }
        from maestro_clients.texts import json_text

        return json_text.line(found, ascii_only=True)
    more = [f"Python {python}", f"protocol {PROTOCOL_VERSION}", f"data format {DATA_FORMAT_VERSION}"]
    return "\n".join([f"maestro {__version__}", *(more if len(tokens) > 1 else [])])
