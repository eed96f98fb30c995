"""Limits: every setting of the broker, with its default, its range and its meaning.

Rule: a limit is a field of `Limits` with a unit in its name and an entry in `DOCS`. `maestro status` prints its value
and origin. Exceeding it raises a typed error with both numbers. Sources are the config file, the environment
(`MAESTRO_<NAME>`) and `--set NAME=VALUE`; a later one overrides an earlier one. `on_ended` is the only word.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY_MS = 24 * 3600 * 1000


class Limits(NamedTuple):
    """The limits in force. DOCS has the meaning, the unit and the range of each."""

    text_chars_max: int = 10_000
    rate_limit: int = 10
    pair_limit: int = 0
    short_replies_max: int = 8
    retention_ms: int = 7 * _DAY_MS
    read_retention_ms: int = 0
    pending_max: int = 10_000
    wire_bytes_max: int = 1 << 20
    print_chars_max: int = 20_000
    batch_messages_max: int = 256
    reply_bytes_max: int = 512 << 10
    reply_messages_max: int = 1_000
    data_bytes_max: int = 4_096
    session_metadata_bytes_max: int = 16_384
    session_timeline_bytes_max: int = 65_536
    sessions_max: int = 10_000
    sessions_reply_max: int = 1_000
    start_limit: int = 60
    change_limit: int = 120
    lease_ms_max: int = 300_000
    ttl_ms_max: int = 7 * _DAY_MS
    fanout_max: int = 64
    fanout_confirm: int = 3
    fanout_limit: int = 200
    group_limit: int = 30
    groups_max: int = 100
    group_members_max: int = 256
    attachment_bytes_max: int = 10 << 20
    attachments_max: int = 16
    message_attachments_bytes_max: int = 25 << 20
    attachments_total_bytes_max: int = 1 << 30
    filing_backlog_bytes_max: int = 192 << 20
    segment_bytes: int = 16 << 20
    disk_reserve_bytes: int = 8 << 20
    mailbox_idle_ms: int = 60_000
    loaded_messages_max: int = 50_000
    timeline_reply_max: int = 1_000
    wake_grace_ms: int = 60_000
    wake_again_ms: int = 300_000
    wake_minute_limit: int = 6
    wake_hour_limit: int = 60
    wake_turns_max: int = 10
    require_token: int = 0
    on_ended: str = "error"


class LimitDoc(NamedTuple):
    """The description of one limit."""

    # count, bytes, ms, chars, switch, word or text
    unit: str
    # The smallest allowed value; of a text 1 where it can't be empty; without meaning for a word.
    low: int
    # The largest allowed value; _MANY is no upper bound.
    high: int
    # What it bounds, as `maestro status` prints it.
    text: str
    # The allowed words of the unit word.
    words: tuple[str, ...] = ()


_MANY = 1 << 62
# More could not all be receivers of one message.
GROUP_MEMBERS_CEILING = 256

# What happens to a send whose receiver has ended: it is refused; it waits until the receiver comes back; it is
# redirected to the receiver's orchestrator.
ON_ENDED = ("error", "queue", "redirect")

DOCS: dict[str, LimitDoc] = {
    "text_chars_max": LimitDoc("chars", 1, 200_000, "length of one message's text; a longer one is refused, not cut"),
    "rate_limit": LimitDoc(
        "count", 0, 1_000_000_000, "accepted sends of a session in a sliding minute; 0 is no limit"
    ),
    "pair_limit": LimitDoc(
        "count", 0, 1_000_000_000, "messages between two sessions in ten minutes; 0 is 6 x rate_limit"
    ),
    "short_replies_max": LimitDoc("count", 0, 1_000_000, "short answers of two sessions in turns; 0 is no limit"),
    "retention_ms": LimitDoc(
        "ms", 1_000, _MANY, "how long a message is kept; read+24h sets how long after it was read"
    ),
    "read_retention_ms": LimitDoc(
        "ms", 0, _MANY, "how long a message is kept after it was read; 0 is as long as any other"
    ),
    "pending_max": LimitDoc("count", 1, 1_000_000, "undelivered messages one mailbox holds"),
    "wire_bytes_max": LimitDoc("bytes", 4_096, 16 << 20, "one request's body"),
    "print_chars_max": LimitDoc("chars", 500, _MANY, "one page of `inbox`, since agents' tools cut longer output"),
    "batch_messages_max": LimitDoc("count", 1, 4_096, "messages or ids in one request"),
    "reply_bytes_max": LimitDoc("bytes", 65_536, 8 << 20, "messages in one inbox reply; more are on the next page"),
    "reply_messages_max": LimitDoc("count", 1, 10_000, "messages in one inbox reply; more are on the next page"),
    "data_bytes_max": LimitDoc("bytes", 0, 1 << 18, "metadata.data of one message, as JSON"),
    "session_metadata_bytes_max": LimitDoc("bytes", 0, 1 << 18, "metadata of one session, as JSON"),
    "session_timeline_bytes_max": LimitDoc(
        "bytes", 1_024, 1 << 20, "a session's own timeline; beyond it, or beyond 200 notes, the oldest notes go"
    ),
    "sessions_max": LimitDoc("count", 1, 1_000_000, "active sessions"),
    "sessions_reply_max": LimitDoc("count", 1, 10_000, "sessions in one reply; more are on the next page"),
    "start_limit": LimitDoc(
        "count", 0, 1_000_000, "session starts of a session, or of a key, in a sliding minute; 0 is no limit"
    ),
    "change_limit": LimitDoc(
        "count", 0, 1_000_000, "notes and other changes of one session in a sliding minute; 0 is no limit"
    ),
    "lease_ms_max": LimitDoc("ms", 1, 3_600_000, "the longest lease a reader may ask for"),
    "ttl_ms_max": LimitDoc("ms", 1, _MANY, "the longest life a sender may give a message"),
    "fanout_max": LimitDoc("count", 1, 256, "receivers of one message"),
    "fanout_confirm": LimitDoc(
        "count", 0, 256, "receivers of @all, @workers, @orchestrators or @project above which a sender must confirm"
    ),
    "fanout_limit": LimitDoc(
        "count", 0, 1_000_000, "deliveries of a session's messages to several in a sliding minute; 0 is no limit"
    ),
    "group_limit": LimitDoc(
        "count", 0, 1_000_000, "messages to several in one thread or group in ten minutes; 0 is no limit"
    ),
    "groups_max": LimitDoc("count", 1, 10_000, "groups"),
    "group_members_max": LimitDoc("count", 1, GROUP_MEMBERS_CEILING, "members of one group"),
    "attachment_bytes_max": LimitDoc("bytes", 1, 1 << 30, "one attached file"),
    "attachments_max": LimitDoc("count", 0, 64, "files of one message; 0 takes no messages with files"),
    "message_attachments_bytes_max": LimitDoc("bytes", 1, 1 << 34, "the files of one message together"),
    "attachments_total_bytes_max": LimitDoc(
        "bytes", 1, 1 << 50, "all attached files, each counted once; above it uploads get STORAGE_FULL"
    ),
    "filing_backlog_bytes_max": LimitDoc("bytes", 4_096, 1 << 40, "unfiled records above which new sends get BUSY"),
    "segment_bytes": LimitDoc("bytes", 1 << 16, 1 << 30, "one journal segment, preallocated"),
    "disk_reserve_bytes": LimitDoc("bytes", 0, 1 << 34, "free disk space reserved for confirms and deletes"),
    "mailbox_idle_ms": LimitDoc("ms", 100, _MANY, "time after which an unused mailbox leaves memory"),
    "loaded_messages_max": LimitDoc(
        "count", 100, 10_000_000, "filed messages in memory above which unused mailboxes leave it early"
    ),
    "timeline_reply_max": LimitDoc("count", 1, 10_000, "timeline lines in one reply; more are on the next page"),
    "wake_grace_ms": LimitDoc(
        "ms", 100, _MANY, "the age of a sign of an agent at work above which mail wakes it; Esc gives no sign"
    ),
    "wake_again_ms": LimitDoc(
        "ms", 100, _MANY, "time after which a wake that is not answered is made once more, and then given up"
    ),
    "wake_minute_limit": LimitDoc("count", 0, 1_000, "wakes of a session in a sliding minute; 0 is no limit"),
    "wake_hour_limit": LimitDoc("count", 0, 10_000, "wakes of a session in a sliding hour; 0 is no limit"),
    "wake_turns_max": LimitDoc(
        "count", 0, 1_000_000, "turns in a row that wakes begin, with no prompt of a person between; 0 is no limit"
    ),
    "require_token": LimitDoc("switch", 0, 1, "1 refuses to start sessions without a token"),
    "on_ended": LimitDoc("word", 0, 0, "the default for sends to an ended session", ON_ENDED),
}

# The words of a switch. Another word is refused: a guess would often do the opposite of what its writer means.
SWITCH_WORDS = {
    "true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False
}  # fmt: skip

# Constants of the design, which an operator can't change.
RATE_WINDOW_MS = 60_000
PAIR_WINDOW_MS = 600_000
# A run of short answers ends after this time without a message.
SHORT_REPLY_QUIET_MS = 60_000
SHORT_REPLY_CHARS = 60
SOCKET_PATH_BYTES_MAX = 107  # sun_path is 108 bytes with its NUL on Linux (unix(7))
# Addresses of one message, and deliveries of one request: 1,024 take the main loop 2.3 ms.
ADDRESSES_MAX = 32
DELIVERIES_MAX = 1_024
# What one further delivery takes in a record at most: two ids, a number, an error's code.
DELIVERY_BYTES_MAX = 176
# Content in one `blob.put` or in one reply of `blob.get`: with its fields it fits into wire_bytes_max.
BLOB_PART_BYTES_MAX = 512 << 10
ATTACHMENT_NAME_BYTES_MAX = 120
ATTACHMENT_TYPE_CHARS_MAX = 127
# What one attachment takes in a message at most: its name, its type, its digest and its size.
ATTACHMENT_BYTES_MAX = 768
# The bytes of a record beside its text, its metadata and its further deliveries: names of fields, ids, addresses.
_RECORD_BYTES = 8_192
_CHARACTER_BYTES_MAX = 4
REQUEST_ID_BYTES_MAX = 64
# A sign of an agent at work that is older than this no longer says when the agent makes its next tool call.
SILENT_AFTER_MS = 900_000
# Processes whose end the broker waits for, each with a descriptor; at most a quarter of the allowed descriptors.
WATCHED_PROCESSES_MAX = 4_096

# A retention of `read+24h` is a read_retention of `24h`.
AFTER_READING = "read+"

# The longest texts that a caller may choose beside a message's own (`text_chars_max`) and JSON values (in bytes).
NAME_CHARS_MAX = 64
PROJECT_CHARS_MAX = 64
TOKEN_CHARS_MAX = 256
TASK_ID_CHARS_MAX = 128
AGENT_CHARS_MAX = 64
AGENT_SESSION_CHARS_MAX = 128
PID_START_CHARS_MAX = 128
CWD_CHARS_MAX = 4_096  # PATH_MAX of Linux
VIA_CHARS_MAX = 64
NOTE_TYPE_CHARS_MAX = 64
NOTE_CHARS_MAX = 1_000
# metadata of one entry of a session's own timeline, as JSON.
NOTE_METADATA_BYTES_MAX = 1_024
NEEDS_INPUT_CHARS_MAX = 1_000
# A search: its characters, and its words and operators together; hits, threads or entries of one reply.
SEARCH_QUERY_CHARS_MAX = 1_000
SEARCH_TERMS_MAX = 32
SEARCH_HITS_MAX = 200
SEARCH_HITS = 50
# Beyond this number, hits are not counted.
SEARCH_TOTAL_MAX = 10_000

# An export over HTTP: its messages, without and with a `limit`, and the characters of its texts. The gateway holds it
# in memory while it is written.
EXPORT_MESSAGES = 1_000
EXPORT_MESSAGES_MAX = 10_000
EXPORT_TEXT_CHARS_MAX = 16 << 20

# What an option may be: how many a list shows, a line's number (LSN), a port, a process, and how long one waits.
LISTED_MAX = 1_000_000
LSN_MAX = 10**18 - 1
PORT_MAX = 65_535
PID_MAX = 1 << 22  # pid_max of 64-bit Linux
WAIT_MS_MAX = 365 * 86_400_000
# How long a client may wait for an answer awake. Beyond this a core is lost for nothing: a sleep costs 0.1 ms.
SPIN_US_MAX = 10_000

# An error repeats at most this much of a wrong value.
_SHOWN_CHARS = 80

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": _DAY_MS}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# `[0-9]` because `\d` accepts the digits of every script. Longer numbers are above every limit's range, and int()
# refuses thousands of digits with an error of its own.
_COUNT = re.compile(r"[0-9]{1,20}")
_DURATION = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15})([kmg]?)(?:i?b)?", re.IGNORECASE | re.ASCII)


def record_bytes_max(limits: Limits) -> int:
    """The largest record that these limits allow: a segment must hold it, for a record that does not fit would be
    found only at the commit."""
    content = _CHARACTER_BYTES_MAX * limits.text_chars_max + limits.data_bytes_max
    message_bytes = content + DELIVERY_BYTES_MAX * limits.fanout_max
    return max(message_bytes, DELIVERY_BYTES_MAX * limits.group_members_max) + _RECORD_BYTES


def message_files_max(limits: Limits) -> int:
    """How many files a message may name: `attachments_max`, or fewer where a small segment has no room for that.
    Segments of an older configuration stay allowed."""
    return min(limits.attachments_max, (limits.segment_bytes - record_bytes_max(limits)) // ATTACHMENT_BYTES_MAX)


def parse_duration_ms(text: str) -> int:
    """Milliseconds from `"1h30m"`, `"7d"` or `"250ms"`. A number without a unit is refused, because its unit would be
    a guess. Raises MaestroError BAD_SETTING, also for a duration over 62 bits."""
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
            f"{text[:_SHOWN_CHARS]!r} is too long",
            "Write a shorter one, such as 7d.",
        )
    return duration_ms


def check_number(name: str, number: int | None, low: int, high: int | None = None) -> None:
    """Raises MaestroError INVALID, with the allowed range, for a field of a request that is below it. Above it is no
    error: a page has as many as it may."""
    if number is not None and number < low:
        span = f"{low:,} or more" if high is None else f"{low:,} to {high:,}"
        raise MaestroError(
            "INVALID", f"{name} must be {span}, not {number}", "Correct it or leave it out.", limit=low, actual=number
        )


def duration_text(duration_ms: int) -> str:
    """The shortest exact spelling, which `parse_duration_ms` reads back."""
    exact = (pair for pair in reversed(_UNITS_MS.items()) if duration_ms and duration_ms % pair[1] == 0)
    unit, length = next(exact, ("ms", 1))
    return f"{duration_ms // length}{unit}"


def allowed(doc: LimitDoc) -> str:
    """The allowed values of a setting, as a user writes them."""
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
    """One limit's value from text: a number, or one of its words. `shown` is its name as the user wrote it. Raises
    MaestroError BAD_SETTING with the allowed values."""
    doc = DOCS.get(name)
    if doc is None:
        from .texts.near_words import guess

        known = sorted(map(_public, DOCS))
        hint = f"{guess(name, known)}Known settings: {', '.join(known)}."
        raise MaestroError("BAD_SETTING", f"there is no setting {name[:_SHOWN_CHARS]!r}", hint)
    return parse_value(shown or name, doc, text)


def parse_value(shown: str, doc: LimitDoc, text: str) -> int | str:
    """A setting's value from text: one of its words, or a number. `shown` is its name in the error. Raises
    MaestroError BAD_SETTING."""
    if not doc.words:
        is_retention = doc is DOCS["retention_ms"]
        return parse_number(shown, doc, text.strip().removeprefix(AFTER_READING) if is_retention else text)
    word = text.strip().lower()
    if word not in doc.words:
        raise MaestroError(
            "BAD_SETTING",
            f"{shown} can't be {text[:_SHOWN_CHARS]!r}: it is {allowed(doc)} ({doc.text})",
            f"Give {allowed(doc)}.",
        )
    return word


def setting_of(name: str, text: str) -> str:
    """The setting that a value is for: a retention of `read+24h` sets `read_retention_ms`."""
    after_reading = name == "retention_ms" and text.strip().startswith(AFTER_READING)
    return "read_retention_ms" if after_reading else name


def parse_number(shown: str, doc: LimitDoc, text: str) -> int:
    """A number from text, by its unit. `shown` is its name in the error.

    A number without a unit is milliseconds if the name says so (`retention_ms`). Otherwise it is refused: with
    `retention = 86400` a user means a day, and would lose mail after 86 seconds. Raises MaestroError BAD_SETTING.
    """
    stripped = text.strip()
    if doc.unit == "ms":
        value = _count(stripped)
        if value > 0 and "ms" not in shown.strip().lower().replace("-", "_").split("_"):
            raise MaestroError(
                "BAD_SETTING",
                f"{shown} can't be {text[:_SHOWN_CHARS]!r}: it has no unit, and it is {allowed(doc)}",
                f"Give {allowed(doc)}.",
            )
        if value < 0:
            with contextlib.suppress(MaestroError):
                value = parse_duration_ms(stripped)
    elif doc.unit == "bytes" and (size := _SIZE.fullmatch(stripped)):
        value = int(size[1]) * _SIZES[size[2].lower()]
    elif doc.unit == "switch":
        value = int(SWITCH_WORDS.get(stripped.lower(), -1))
    else:
        value = _count(stripped)
    if not doc.low <= value <= doc.high:
        raise MaestroError(
            "BAD_SETTING",
            f"{shown} can't be {text[:_SHOWN_CHARS]!r}: it is {allowed(doc)} ({doc.text})",
            f"Give {allowed(doc)}.",
            limit=doc.high if value > doc.high else doc.low,
            actual=value if value >= 0 else None,
        )
    return value


def switch(variable: str, environ: Mapping[str, str], *, default: bool) -> bool:
    """The switch that an environment variable sets; an empty variable counts as absent. Raises MaestroError
    BAD_SETTING."""
    text = environ.get(variable)
    if not text:
        return default
    chosen = SWITCH_WORDS.get(text.strip().lower())
    if chosen is None:
        raise MaestroError(
            "BAD_SETTING",
            f"{variable} can't be {text[:_SHOWN_CHARS]!r}: it is one of {', '.join(SWITCH_WORDS)}",
            f"Give one of them, or unset {variable}.",
        )
    return chosen


def resolve(
    config: Mapping[str, object],
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    config_path: str = "the config file",
) -> tuple[Limits, dict[str, str]]:
    """The limits in force and the origin of each (`default`, `config`, `environment`, `flag`).

    Names are those of `Limits`; a trailing `_ms` may be omitted (`retention=7d`, `MAESTRO_RETENTION=7d`). Raises
    MaestroError BAD_SETTING for an unknown name or a value out of range. Unknown environment variables are ignored,
    since other programs may use them.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(DOCS, "default")

    def take(origin: str, found: Mapping[str, int | str]) -> None:
        if "retention_ms" in found:  # of all mail, unless the same source sets another for read mail
            values.pop("read_retention_ms", None)
            origins["read_retention_ms"] = "default"
        values.update(found)
        origins.update(dict.fromkeys(found, origin))

    named = {(_private(raw_name), raw_name): str(raw) for raw_name, raw in config.items()}
    take("config", {setting_of(n, text): _parsed(n, text, shown, config_path) for (n, shown), text in named.items()})
    variables = {name: variable for name in DOCS if (variable := variable_of(name, environ)) is not None}
    take(
        "environment",
        {
            setting_of(name, environ[variable]): _parsed(
                name, environ[variable], variable, f"the environment variable {variable}"
            )
            for name, variable in variables.items()
        },
    )
    flagged = {(_private(raw_name), raw_name): text for raw_name, text in flags.items()}
    take("flag", {setting_of(n, text): parse_limit(n, text, shown) for (n, shown), text in flagged.items()})
    found = Limits(**values)
    if found.segment_bytes < record_bytes_max(found):
        raise MaestroError(
            "BAD_SETTING",
            f"segment_bytes is {found.segment_bytes:,}, and one message may take {record_bytes_max(found):,} bytes",
            "Raise segment_bytes, or lower text_chars_max, data_bytes_max or fanout_max.",
            limit=record_bytes_max(found),
            actual=found.segment_bytes,
        )
    return found, origins


def variable_of(name: str, environ: Mapping[str, str]) -> str | None:
    """The environment variable that sets a limit, or None."""
    # If both spellings are set, the one with the unit wins.
    candidates = (f"MAESTRO_{name.upper()}", f"MAESTRO_{_public(name).upper()}")
    return next((variable for variable in candidates if environ.get(variable)), None)


def _parsed(name: str, text: str, shown: str, origin: str) -> int | str:
    """`parse_limit`, with the value's origin in the error, since the user did not just type it."""
    try:
        return parse_limit(name, text, shown)
    except MaestroError as error:
        raise MaestroError(
            error.code, f"{error.message} (set by {origin})", error.hint, limit=error.limit, actual=error.actual
        ) from None


def _count(text: str) -> int:
    """The number in `text`, or -1, which no limit allows."""
    return int(text) if _COUNT.fullmatch(text) else -1


def _public(name: str) -> str:
    return name.removesuffix("_ms")


def _private(name: str) -> str:
    underscored = name.strip().replace("-", "_").lower()
    return f"{underscored}_ms" if f"{underscored}_ms" in DOCS else underscored
