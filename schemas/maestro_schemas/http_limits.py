"""HTTP limits: every setting of the HTTP gateway, with its default, its range and its meaning.

Rule: a limit is a field of `HttpLimits` with a unit in its name and an entry in `DOCS`. `GET /health` shows it, and
exceeding it is a typed error. Sources are the config file ([http]) and the environment (`MAESTRO_HTTP_<NAME>`), which
overrides it; a trailing `_ms` may be omitted. It is here and not in the gateway because every program that reads the
config file checks all of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from . import limits as broker_limits
from .errors import MaestroError
from .limits import LimitDoc

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIRE_BYTES = broker_limits.Limits().wire_bytes_max
# For JSON itself: names, quotes, and escapes, which are longer than their characters.
_JSON_BYTES = 64 << 10
_HOUR_MS = 3_600_000
# RFC 6454 section 6.2, in the form in which a browser sends it: no path, no user, small letters.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)
_ORIGIN_CHARS_SHOWN = 80


class HttpLimits(NamedTuple):
    """The limits in force. DOCS has the meaning, the unit and the range of each."""

    body_bytes_max: int = _WIRE_BYTES + _JSON_BYTES
    body_timeout_ms: int = 30_000
    head_bytes_max: int = 32 << 10
    head_timeout_ms: int = 10_000
    keep_alive_ms: int = 75_000
    stall_timeout_ms: int = 30_000
    linger_ms: int = 2_000
    linger_bytes_max: int = 4 << 20
    connections_max: int = 2_000
    idle_connections_max: int = 1_500
    mail_waits_max: int = 256


DOCS: dict[str, LimitDoc] = {
    "body_bytes_max": LimitDoc("bytes", 4_096, 64 << 20, "one request's body: the wire's limit and space for JSON"),
    "body_timeout_ms": LimitDoc("ms", 100, _HOUR_MS, "time from a request's head to the end of its body"),
    "head_bytes_max": LimitDoc(
        "bytes", 1_024, 1 << 20, "a request's line and headers; also the trailers of a chunked body"
    ),
    "head_timeout_ms": LimitDoc(
        "ms", 100, _HOUR_MS, "time from a connection's start, or a request's first byte, to the end of its head"
    ),
    "keep_alive_ms": LimitDoc("ms", 100, _HOUR_MS, "time that a connection may be idle between two requests"),
    "stall_timeout_ms": LimitDoc("ms", 100, _HOUR_MS, "time that a peer may leave an answer unread"),
    "linger_ms": LimitDoc("ms", 0, 60_000, "time that a refused request is still read, so that the refusal arrives"),
    "linger_bytes_max": LimitDoc("bytes", 0, 64 << 20, "bytes of a refused request that are still read"),
    "connections_max": LimitDoc("count", 1, 100_000, "connections at once; each further one is answered 503"),
    "idle_connections_max": LimitDoc("count", 1, 100_000, "idle connections; the longest idle one is closed first"),
    "mail_waits_max": LimitDoc("count", 1, 100_000, "requests at once that wait for mail; each further one is 503"),
}


# The other settings of [http]. `host` and `origins` are texts, so they have no range.
FRONT_DOCS: dict[str, LimitDoc] = {
    "enabled": LimitDoc("switch", 0, 1, "whether `maestro up` starts the gateway"),
    "port": LimitDoc("count", 0, 65_535, "the gateway's port; 0 picks a free one"),
    "host": LimitDoc("text", 1, 0, "the gateway's address; with any but a loopback one, tokens are necessary"),
    "origins": LimitDoc(
        "text", 0, 0, "other pages that may use the gateway as you: origins, with commas (tauri://localhost)"
    ),
}
FRONT_DEFAULTS: dict[str, int | str] = {"enabled": 1, "port": 4_568, "host": "127.0.0.1", "origins": ""}


def variable_of(name: str, environ: Mapping[str, str]) -> str | None:
    """The environment variable that sets a name of [http], or None."""
    if name == "enabled":
        candidates = ["MAESTRO_HTTP"]
    else:
        # If both spellings are set, the one with the unit wins.
        candidates = [f"MAESTRO_HTTP_{name.upper()}", f"MAESTRO_HTTP_{name.removesuffix('_ms').upper()}"]
    return next((variable for variable in candidates if environ.get(variable)), None)


def resolve(environ: Mapping[str, str], config: Mapping[str, str] | None = None) -> HttpLimits:
    """The limits in force. `config` maps the names in [http] of the file to texts. Raises MaestroError BAD_SETTING
    for a value out of range."""
    values: dict[str, int] = {}
    for name, doc in DOCS.items():
        variable = variable_of(name, environ)
        if variable is not None:
            values[name] = broker_limits.parse_number(variable, doc, environ[variable])
        elif config and name in config:
            values[name] = broker_limits.parse_number(name, doc, config[name])
    return HttpLimits(**values)


def front(environ: Mapping[str, str], config: Mapping[str, str]) -> tuple[dict[str, int | str], dict[str, str]]:
    """The settings in FRONT_DOCS, and the origin of each (`default`, `config`, `environment`). Raises MaestroError
    BAD_SETTING."""
    values, origins = dict(FRONT_DEFAULTS), dict.fromkeys(FRONT_DOCS, "default")
    for name, doc in FRONT_DOCS.items():
        variable = variable_of(name, environ)
        if variable is None and name not in config:
            continue
        text = environ[variable] if variable is not None else config[name]
        if name == "origins":
            parse_origins(variable or name, text)
        values[name] = text if doc.unit == "text" else broker_limits.parse_number(variable or name, doc, text)
        origins[name] = "environment" if variable is not None else "config"
    return values, origins


def parse_origins(name: str, text: str) -> tuple[str, ...]:
    """The origins of a list with commas. Raises MaestroError BAD_SETTING for a text that is no origin, and for one
    that means every page."""
    found = []
    for item in filter(None, map(str.strip, text.split(","))):
        if "*" in item or item.lower() == "null":
            raise MaestroError(
                "BAD_SETTING",
                f"{name} has {item[:_ORIGIN_CHARS_SHOWN]!r}, which admits pages that you do not know: each could "
                "read your mail and write as your sessions",
                "Name each origin in full, such as tauri://localhost or http://localhost:1420.",
            )
        origin = item.lower()
        if not _ORIGIN.fullmatch(origin):
            raise MaestroError(
                "BAD_SETTING",
                f"{name} has {item[:_ORIGIN_CHARS_SHOWN]!r}, which is no origin",
                "Give SCHEME://HOST or SCHEME://HOST:PORT without a path, such as http://localhost:1420.",
            )
        found.append(origin)
    return tuple(found)
