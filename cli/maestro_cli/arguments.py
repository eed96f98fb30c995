"""Arguments: the text of an option turned into a value.

Rule: a wrong text is a typed error that names the option, raised before anything was done.
"""

from __future__ import annotations

from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Any

# A message is 10,000 characters unless set otherwise; this bound keeps `--file /dev/zero` from filling the memory.
FILE_BYTES_MAX = 1 << 20

# Milliseconds since 1970: fewer digits are a year, or seconds.
_EPOCH_MS_DIGITS_MIN, _EPOCH_MS_DIGITS_MAX = 12, 15


def duration_ms(option: str, text: str) -> int:
    """Milliseconds from `30s`, `1h30m` or `250ms`. Raises MaestroError INVALID."""
    from maestro_schemas.limits import parse_duration_ms

    try:
        return parse_duration_ms(text)
    except MaestroError as error:
        raise MaestroError("INVALID", f"{option}: {error.message}", error.hint) from None


def wait_s(option: str, text: str) -> float:
    """Seconds to wait, from a duration of 1 ms to a year. Raises MaestroError INVALID."""
    from maestro_schemas.limits import WAIT_MS_MAX, duration_text

    found_ms = duration_ms(option, text)
    if not 0 < found_ms <= WAIT_MS_MAX:
        raise MaestroError(
            "INVALID",
            f"{option} must be 1ms to {duration_text(WAIT_MS_MAX)}, not {text[:80]!r}",
            "Leave it off for the default.",
            limit=WAIT_MS_MAX,
            actual=found_ms,
        )
    return found_ms / 1000


def moment_ms(option: str, text: str) -> int:
    """Wall clock milliseconds from a duration before now (`1h`), a day (`2026-11-22`) or a moment
    (`2026-11-22T10:00`, with an offset or in local time). Raises MaestroError INVALID."""
    import datetime as dt
    import time

    from maestro_schemas.limits import parse_duration_ms

    try:
        return max(0, time.time_ns() // 1_000_000 - parse_duration_ms(text))
    except MaestroError:
        pass
    try:
        # Without an offset it is local time.
        return int(dt.datetime.fromisoformat(text.strip()).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise MaestroError(
            "INVALID",
            f"{option}: {text[:80]!r} is not a time",
            "Give a duration before now (30m, 1h, 2d), a day (2026-11-22) or a moment (2026-11-22T10:00).",
        ) from None


def instant_ms(option: str, text: str) -> int:
    """Milliseconds since the epoch from a moment (`2026-11-22T10:00`, with an offset or in local time), a day, or
    that number itself. Raises MaestroError INVALID."""
    import datetime as dt

    stripped = text.strip()
    if stripped.isascii() and stripped.isdecimal() and _EPOCH_MS_DIGITS_MIN <= len(stripped) <= _EPOCH_MS_DIGITS_MAX:
        return int(stripped)
    try:
        # Without an offset it is local time.
        return int(dt.datetime.fromisoformat(stripped).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise MaestroError(
            "INVALID",
            f"{option}: {text[:80]!r} is not a moment",
            "Give a moment (2026-11-22T10:00), a day (2026-11-22), or milliseconds since 1970. For a duration from "
            "now there is --ttl.",
        ) from None


def at_least_one(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """The values, when there are any. Raises MaestroError INVALID."""
    if not values:
        raise MaestroError("INVALID", f"{name} is missing", "Give at least one.")
    return values


def text_of(message: str | None, path: str | None) -> str:
    """The text to send, from `--message` or `--file`. Raises MaestroError INVALID for both or neither,
    FILE_UNREADABLE for a file that is not UTF-8 text, TEXT_TOO_LONG for an endless file."""
    if message is not None and path is not None:
        raise MaestroError(
            "INVALID", "both --message and --file were given, and a message has one text", "Leave one of them off."
        )
    if message is not None:
        return checked_text("--message", message)
    if path is not None:
        return text_file(path)
    raise MaestroError(
        "INVALID",
        "neither --message nor --file was given",
        "Add --message TEXT, or --file PATH (`-` is standard input).",
    )


def checked_text(option: str, text: str) -> str:
    """The text, when it is whole Unicode: a byte that is not UTF-8 arrives from the shell as half a surrogate
    pair, which no wire can carry. Raises MaestroError INVALID."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MaestroError(
            "INVALID",
            f"{option} is not UTF-8 (character {error.start + 1:,} of it)",
            "Send text as UTF-8, and binary data as a file.",
        ) from None
    return text


def text_file(path: str) -> str:
    """The whole text of a file, or of standard input for `-`. Raises as `text_of`."""
    what = "standard input" if path == "-" else path or "''"
    try:
        raw = _read(path)
    except OSError as error:
        raise MaestroError(
            "FILE_UNREADABLE",
            f"{what} can't be read: {error.strerror or error}",
            "Nothing was sent. Check the path given to --file.",
        ) from None
    except ValueError as error:
        raise MaestroError("FILE_UNREADABLE", f"{path!r} can't be a path: {error}", "Nothing was sent.") from None
    if len(raw) > FILE_BYTES_MAX:
        raise MaestroError(
            "TEXT_TOO_LONG",
            f"{what} has more than {FILE_BYTES_MAX:,} bytes, too many for a message",
            "Nothing was sent. Send it as a file, with a summary as the text: --attach PATH.",
            limit=FILE_BYTES_MAX,
        )
    if b"\0" in raw:
        raise MaestroError(
            "FILE_UNREADABLE",
            f"{what} is binary (a NUL at byte {raw.index(0) + 1:,})",
            "Nothing was sent. Send it as a file: --attach PATH.",
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MaestroError(
            "FILE_UNREADABLE",
            f"{what} is not UTF-8 (byte {error.start + 1:,} is 0x{raw[error.start]:02x})",
            "Nothing was sent. Convert it, for example: iconv -f latin1 -t utf-8.",
        ) from None


def json_value(option: str, text: str) -> Any:
    """A JSON value. Raises MaestroError INVALID for other text, also for NaN and infinities."""
    import json

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(text, parse_constant=refuse)
        checked_text(option, json.dumps(value, ensure_ascii=False))
    except (ValueError, RecursionError) as error:
        raise MaestroError(
            "INVALID", f"{option} is not JSON: {error}", 'Quote it for the shell: --data \'{"branch": "main"}\'.'
        ) from None
    return value


def _read(path: str) -> bytes:
    import os

    if path == "-":
        import sys

        if sys.stdin is None:
            raise OSError(0, "it is closed")
        return sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    with open(os.path.expanduser(path), "rb") as file:
        return file.read(FILE_BYTES_MAX + 1)
