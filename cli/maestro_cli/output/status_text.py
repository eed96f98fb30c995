"""Status text: everything that `stats` holds, as lines for a reader; also keys that this version does not know.

Rule: pure; a document in, lines out.
"""

from __future__ import annotations

from maestro_cli.context import now_ms
from maestro_clients.texts.ages import moment
from maestro_clients.texts.byte_counts import size

from .render import duration, plain, table, value_shown
from .tables import Column
from .tables import table as columns_table

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Any

_GROUPS = {
    "broker": ("version", "protocol", "pid", "epoch", "startedAt", "uptimeMs", "dataDir", "runtimeDir"),
    "journal": ("headLsn", "filedLsn", "checkpointLsn", "filingBacklog", "filingBacklogBytes"),
}
_LABELS = {
    "dataDir": "data directory",
    "runtimeDir": "socket directory",
    "startedAt": "started",
    "uptimeMs": "up for",
    "headLsn": "last record",
    "filedLsn": "filed up to",
    "checkpointLsn": "checkpoint at",
    "filingBacklog": "not yet filed",
    "filingBacklogBytes": "that is",
    "freeBytes": "free",
    "fullest": "fullest, pending",
    "mailBytes": "mail, at the last sweep",
    "fileSystem": "file system",
    "p50Ms": "p50",
    "p99Ms": "p99",
    "watchers": "topics watched (of sessions, or of all)",
    "tcp": "other machines",
    "keys": "keys, last used",
    "messages": "messages since the start",
    "wakes": "wakes of idle agents since the start",
    "index": "search index",
    "upTo": "read up to",
    "fullText": "finds words by SQLite's FTS5",
    "starts": "its process was started",
    "attachments": "attached files",
    "bytesMax": "of at most",
    "refusedByCode": "refused since the start",
    "refused": "rejected before decoding",
    "journalBytes": "journal",
    "unsentReplies": "replies that could not be sent",
}
# The labels of a sweep's counts; other groups have the same names with another meaning.
_SWEEP_LABELS = {
    "startedAt": "last round began",
    "tookMs": "took",
    "lookedAt": "files looked at",
    "messages": "messages removed",
    "tombstones": "links to them removed",
    "folders": "empty folders removed",
    "sessions": "sessions forgotten",
    "timelineFiles": "days of the timeline removed",
    "attachments": "attached files removed",
    "expired": "messages expired by age",
    "bytes": "space freed",
}
_APART = frozenset({"limits", "warnings", "config"})


def lines(stats: dict[str, Any], width: int | None) -> list[str]:
    """All of it. `width`: the terminal's; None for no bound."""
    found: list[str] = []
    grouped: set[str] = set()
    for title, keys in _GROUPS.items():
        found += [f"{title}:", *table({_label(key): _value(key, stats[key]) for key in keys if key in stats})]
        grouped.update(keys)
    rest = {key: value for key, value in stats.items() if key not in grouped and key not in _APART}
    for key, value in rest.items():
        if isinstance(value, dict):
            parts = _commit(value) if key == "commit" else value
            held = {_label(name): _value(name, part) for name, part in parts.items()}
            if key == "sweep":
                held = {_SWEEP_LABELS.get(name, _label(name)): _of_sweep(name, part) for name, part in value.items()}
            found += [f"{_label(key)}:", *(table(held) if held else ["  none"])]
    single = {_label(key): _value(key, value) for key, value in rest.items() if not isinstance(value, dict)}
    if single:
        found += ["more:", *table(single)]
    found += ["limits:", *_limits(stats.get("limits", {}), width)]
    found += [f"warning: {plain(warning)}" for warning in stats.get("warnings", [])]
    return found


def _commit(commit: dict[str, Any]) -> dict[str, Any]:
    """Without the histograms, which are for programs, and with the mean size of a batch."""
    shown = {name: part for name, part in commit.items() if not isinstance(part, dict)}
    records, count = commit.get("records"), commit.get("count")
    if isinstance(records, dict) and isinstance(count, int) and count:
        shown["records a commit"] = f"{records.get('sum', 0) / count:.1f} on average"
    return shown


def _of_sweep(key: str, value: object) -> str:
    if key in ("bytes", "lookedAt") and isinstance(value, int):
        return size(value) if key == "bytes" else f"{value:,}"
    if key == "tookMs" and isinstance(value, int):
        return duration(value)
    return _value(key, value)


def _limits(limits: dict[str, dict[str, Any]], width: int | None) -> list[str]:
    columns = [Column("", least=20), Column("", wraps=True), Column("", 1), Column("", 2, least=24, wraps=True)]
    rows = []
    for name, limit in limits.items():
        value = value_shown(limit.get("value"), limit.get("unit", ""))
        rows.append((name, value, f"from {limit.get('from', '?')}", limit.get("what", "")))
    return [f"  {line}" for line in columns_table(columns, rows, width and width - 2)]


def _label(key: str) -> str:
    if key in _LABELS or key.isupper():  # a code stays as it is written everywhere
        return _LABELS.get(key, key)
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in key)


def _value(key: str, value: object) -> str:
    if key.endswith("At") and isinstance(value, int):
        return moment(value, now_ms())
    if key == "uptimeMs" and isinstance(value, int):
        return duration(value)
    if key.endswith("Ms") and isinstance(value, int | float):
        return f"{value:.3g} ms"
    if key.endswith("Bytes") and isinstance(value, int):
        return size(value)
    if key == "fullest" and isinstance(value, dict):
        return ", ".join(f"{plain(name)} {count:,}" for name, count in value.items()) or "none"
    if key == "keys" and isinstance(value, dict):
        return ", ".join(f"{plain(name)} {moment(at, now_ms())}" for name, at in value.items()) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{_label(name)} {_value(name, part)}" for name, part in value.items())
    if value is None:
        return "not known yet"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int):
        return plain(value)
    return str(value) if key in ("pid", "protocol", "noticesPort") else f"{value:,}"
