"""Limits: every number that bounds the post office, and the one choice it leaves, in one place.

Rule: a limit is a field of `Limits` with a unit in its name and an entry in `DOCS`; `maestro status` prints it
with where it came from; breaking it raises a typed error with both numbers. `on_ended` is a word. Set by config file,
environment (`MAESTRO_<NAME>`) or `--set NAME=VALUE`, in rising order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY_MS = 24 * 3600 * 1000


class Limits(NamedTuple):
    """The limits in force. What each means, its unit and its range are in DOCS."""

    text_chars_max: int = 10_000
    rate_limit: int = 10
    pair_limit: int = 0
    short_replies_max: int = 8
    retention_ms: int = 7 * _DAY_MS
    pending_max: int = 10_000
    wire_bytes_max: int = 1 << 20
    print_chars_max: int = 20_000
    batch_messages_max: int = 256
    reply_bytes_max: int = 512 << 10
    reply_messages_max: int = 1_000
    data_bytes_max: int = 4_096
    session_metadata_bytes_max: int = 16_384
    sessions_max: int = 10_000
    lease_ms_max: int = 300_000
    ttl_ms_max: int = 7 * _DAY_MS
    filing_backlog_bytes_max: int = 192 << 20
    segment_bytes: int = 16 << 20
    disk_reserve_bytes: int = 8 << 20
    mailbox_idle_ms: int = 60_000
    loaded_messages_max: int = 50_000
    timeline_reply_max: int = 1_000
    require_token: int = 0
    on_ended: str = "error"


class LimitDoc(NamedTuple):
    """What one limit means: `unit` (count, bytes, ms, chars, switch, word), the allowed range, and why the default.

    `words`: what a word may be, where the unit is one; it has no range.
    """

    unit: str
    low: int
    high: int
    text: str
    words: tuple[str, ...] = ()


_MANY = 1 << 62

# What may become of a send whose receiver has ended: the sender is told; it waits until the receiver comes back; it
# goes to the receiver's orchestrator.
ON_ENDED = ("error", "queue", "redirect")

DOCS: dict[str, LimitDoc] = {
    "text_chars_max": LimitDoc("chars", 1, 200_000, "one message's text; a longer one is refused, not cut"),
    "rate_limit": LimitDoc(
        "count", 0, 1_000_000_000, "accepted sends a session may make a minute, sliding; 0 is none"
    ),
    "pair_limit": LimitDoc(
        "count", 0, 1_000_000_000, "messages two sessions exchange in ten minutes; 0 is 6 x rate_limit"
    ),
    "short_replies_max": LimitDoc(
        "count", 0, 1_000_000, "short answers that two sessions give in turns; 0 is no limit"
    ),
    "retention_ms": LimitDoc("ms", 1_000, _MANY, "how long a message is kept"),
    "pending_max": LimitDoc("count", 1, 1_000_000, "undelivered messages one mailbox holds"),
    "wire_bytes_max": LimitDoc("bytes", 4_096, 16 << 20, "one request's body"),
    "print_chars_max": LimitDoc("chars", 500, _MANY, "what `inbox` prints at once: agents' tools cut longer output"),
    "batch_messages_max": LimitDoc("count", 1, 4_096, "messages or ids in one request"),
    "reply_bytes_max": LimitDoc("bytes", 65_536, 8 << 20, "messages in one inbox reply, then hasMore"),
    "reply_messages_max": LimitDoc("count", 1, 10_000, "messages in one inbox reply, then hasMore"),
    "data_bytes_max": LimitDoc("bytes", 0, 1 << 18, "metadata.data of one message, as JSON"),
    "session_metadata_bytes_max": LimitDoc("bytes", 0, 1 << 18, "metadata of one session, as JSON"),
    "sessions_max": LimitDoc("count", 1, 1_000_000, "active sessions"),
    "lease_ms_max": LimitDoc("ms", 1, 3_600_000, "the longest lease a reader may ask for"),
    "ttl_ms_max": LimitDoc("ms", 1, _MANY, "the longest life a sender may give a message"),
    "filing_backlog_bytes_max": LimitDoc("bytes", 4_096, 1 << 40, "records not yet filed before new sends get BUSY"),
    "segment_bytes": LimitDoc("bytes", 1 << 16, 1 << 30, "one journal segment, preallocated"),
    "disk_reserve_bytes": LimitDoc("bytes", 0, 1 << 34, "free space kept back for reads, confirms and deletes"),
    "mailbox_idle_ms": LimitDoc("ms", 100, _MANY, "how long an untouched mailbox stays in memory"),
    "loaded_messages_max": LimitDoc(
        "count", 100, 10_000_000, "filed messages in memory before idle mailboxes go early"
    ),
    "timeline_reply_max": LimitDoc("count", 1, 10_000, "timeline lines in one reply, then hasMore"),
    "require_token": LimitDoc("switch", 0, 1, "1 refuses sessions without a token"),
    "on_ended": LimitDoc("word", 0, 0, "what becomes of a send to an ended session that does not say it", ON_ENDED),
}

# Timings that are facts of the design rather than choices of an operator.
RATE_WINDOW_MS = 60_000
PAIR_WINDOW_MS = 600_000
# A run of short answers ends when nothing was said for so long.
SHORT_REPLY_QUIET_MS = 60_000
SHORT_REPLY_CHARS = 60
SOCKET_PATH_BYTES_MAX = 107  # sun_path is 108 bytes with its NUL on Linux (unix(7))
TASK_ID_CHARS_MAX = 128
NAME_CHARS_MAX = 64
VIA_CHARS_MAX = 64
REQUEST_ID_BYTES_MAX = 64

# How much of a wrong value an error repeats.
_SHOWN_CHARS = 80

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": _DAY_MS}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# `[0-9]` and not `\d`, which takes the digits of every script. Longer numbers are over every limit's range, and
# int() refuses those of thousands of digits with an error of its own.
_COUNT = re.compile(r"[0-9]{1,20}")
_DURATION = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15})([kmg]?)(?:i?b)?", re.IGNORECASE | re.ASCII)


def parse_duration_ms(text: str) -> int:
    """`"1h30m"`, `"7d"`, `"250ms"` in milliseconds; a bare number is refused, because its unit is a guess.

    Raises MaestroError BAD_SETTING, also for what would not fit into 63 bits.
    """
    stripped = text.strip()
    found = _DURATION.findall(stripped)
    if not found or "".join(number + unit for number, unit in found) != stripped:
        raise MaestroError(
            "BAD_SETTING",
            f"{text[:_SHOWN_CHARS]!r} is not a duration",
            "Write a number with a unit: 250ms, 30s, 5m, 1h, 7d.",
        )
    duration_ms = sum(int(number) * _UNITS_MS[unit] for number, unit in found)
    if duration_ms > _MANY:
        raise MaestroError(
            "BAD_SETTING",
            f"{text[:_SHOWN_CHARS]!r} is longer than any clock runs",
            "Write a shorter one, such as 7d.",
        )
    return duration_ms


def duration_text(duration_ms: int) -> str:
    """The shortest spelling that is exact: `parse_duration_ms` reads it back."""
    exact = (pair for pair in reversed(_UNITS_MS.items()) if duration_ms and duration_ms % pair[1] == 0)
    unit, length = next(exact, ("ms", 1))
    return f"{duration_ms // length}{unit}"


def allowed(doc: LimitDoc) -> str:
    """Which values a setting may have, in the form in which they are written."""
    if doc.words:
        return f"one of {', '.join(doc.words)}"
    if doc.unit == "switch":
        return "true or false"
    if doc.unit == "text":
        return "a text"
    low, high = (duration_text(doc.low), duration_text(doc.high)) if doc.unit == "ms" else (doc.low, doc.high)
    bounds = f"{low:,}" if isinstance(low, int) else low
    bounds += " or more" if doc.high == _MANY else f" to {high:,}" if isinstance(high, int) else f" to {high}"
    return {
        "ms": f"a duration with its unit, such as 30s, 5m, 1h or 7d: {bounds}",
        "bytes": f"a number of bytes, or a size such as 64k or 1m: {bounds}",
    }.get(doc.unit, f"a whole number: {bounds}")


def parse_limit(name: str, text: str, shown: str | None = None) -> int | str:
    """One limit's value from text, by its unit: a number, or one of its words. `shown`: its name as it was written,
    for `parse_value`. Raises MaestroError BAD_SETTING with what is allowed."""
    doc = DOCS.get(name)
    if doc is None:
        known = ", ".join(sorted(map(_public, DOCS)))
        raise MaestroError("BAD_SETTING", f"there is no setting {name[:_SHOWN_CHARS]!r}", f"Known settings: {known}.")
    return parse_value(shown or name, doc, text)


def parse_value(shown: str, doc: LimitDoc, text: str) -> int | str:
    """A value from text: one of the setting's words, or a number as `parse_number` reads it; `shown` is its name in
    the error. Raises MaestroError BAD_SETTING."""
    if not doc.words:
        return parse_number(shown, doc, text)
    word = text.strip().lower()
    if word not in doc.words:
        raise MaestroError(
            "BAD_SETTING",
            f"{shown} can't be {text[:_SHOWN_CHARS]!r}: it is {doc.text}",
            f"Give {allowed(doc)}.",
        )
    return word


def parse_number(shown: str, doc: LimitDoc, text: str) -> int:
    """A value from text, by its unit; `shown` is its name in the error. A bare number is milliseconds where the name
    says so (`retention_ms`), and refused where it does not: `retention = 86400` is no day, and mail would be gone.

    Raises MaestroError BAD_SETTING.
    """
    stripped = text.strip()
    if doc.unit == "ms":
        value = _count(stripped)
        if value > 0 and "ms" not in shown.strip().lower().replace("-", "_").split("_"):
            raise MaestroError(
                "BAD_SETTING", f"{shown} can't be {text[:_SHOWN_CHARS]!r}: it has no unit", f"Give {allowed(doc)}."
            )
        value = parse_duration_ms(stripped) if value < 0 else value
    elif doc.unit == "bytes" and (size := _SIZE.fullmatch(stripped)):
        value = int(size[1]) * _SIZES[size[2].lower()]
    elif doc.unit == "switch":
        value = {"true": 1, "yes": 1, "on": 1, "1": 1, "false": 0, "no": 0, "off": 0, "0": 0}.get(
            stripped.lower(), -1
        )
    else:
        value = _count(stripped)
    if not doc.low <= value <= doc.high:
        raise MaestroError(
            "BAD_SETTING",
            f"{shown} can't be {text[:_SHOWN_CHARS]!r}: it is {doc.text}",
            f"Give {allowed(doc)}.",
            limit=doc.high if value > doc.high else doc.low,
            actual=value if value >= 0 else None,
        )
    return value


def resolve(
    config: Mapping[str, object],
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    config_path: str = "the config file",
) -> tuple[Limits, dict[str, str]]:
    """The limits in force and where each came from (`default`, `config`, `environment`, `flag`).

    Names are those of `Limits`; a trailing `_ms` may be left off (`retention=7d`, `MAESTRO_RETENTION=7d`).
    Raises MaestroError BAD_SETTING for an unknown name or a value out of range; unknown environment variables
    are not ours to judge and are passed over.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(DOCS, "default")
    for raw_name, raw in config.items():
        name = _private(raw_name)
        values[name] = _parsed(name, str(raw), raw_name, config_path)
        origins[name] = "config"
    for name in DOCS:
        variable = variable_of(name, environ)
        if variable is not None:
            values[name] = _parsed(name, environ[variable], variable, f"the environment variable {variable}")
            origins[name] = "environment"
    for raw_name, text in flags.items():
        name = _private(raw_name)
        values[name] = parse_limit(name, text, raw_name)
        origins[name] = "flag"
    return Limits(**values), origins


def variable_of(name: str, environ: Mapping[str, str]) -> str | None:
    """The environment variable that sets a limit; None where none does."""
    # Where both spellings are set, the one with the unit wins.
    candidates = (f"MAESTRO_{name.upper()}", f"MAESTRO_{_public(name).upper()}")
    return next((variable for variable in candidates if environ.get(variable)), None)


def _parsed(name: str, text: str, shown: str, origin: str) -> int | str:
    """`parse_limit`, with an error that says where the value stands, for nobody has just typed it."""
    try:
        return parse_limit(name, text, shown)
    except MaestroError as error:
        raise MaestroError(
            error.code, f"{error.message} (set by {origin})", error.hint, limit=error.limit, actual=error.actual
        ) from None


def _count(text: str) -> int:
    """The number that `text` is, or -1, which no limit allows."""
    return int(text) if _COUNT.fullmatch(text) else -1


def _public(name: str) -> str:
    return name.removesuffix("_ms")


def _private(name: str) -> str:
    underscored = name.strip().replace("-", "_").lower()
    return f"{underscored}_ms" if f"{underscored}_ms" in DOCS else underscored
