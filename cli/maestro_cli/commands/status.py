"""`maestro status`: the broker's state, and every limit with its source.

Rule: it changes nothing and starts no broker. It prints everything that `stats` holds, also keys that this version
does not know.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_cli.output.render import duration, plain, table, value_shown
from maestro_clients.texts.ages import moment
from maestro_clients.texts.byte_counts import size
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option

DETAILS = """\
With no broker running it says so, exit code 6.

Examples:
  maestro status
  maestro status --json"""

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


def run(*, as_json: Annotated[bool, Option(name="--json", help="Print everything as JSON.")] = False) -> int:
    """Show the broker's state."""
    from maestro_clients.processes import gateway_process

    context = CommandContext.here()
    client = context.open_client()
    if client is None:
        raise _not_served(context)
    with client:
        stats = client.stats()
    gateway = gateway_process.find(context.data)
    stats["http"] = {"running": False} if gateway is None else {"running": True, **gateway._asdict()}
    streams.say(streams.json_line(stats) if as_json else "\n".join(_lines(stats)))
    return 0


def _not_served(context: CommandContext) -> MaestroError:
    """Why no broker answers: none runs, or one runs that can't be reached."""
    from maestro_runtime import paths
    from maestro_runtime.traces import end_note, lock_file, update_file

    holder = lock_file.holder(context.data)
    if holder is not None and (says := update_file.read(context.data)) is not None:
        return MaestroError(
            "BROKER_UNREACHABLE",
            f"a broker (pid {holder.pid}) brings the files in {context.data} up to date ({plain(says)}), and serves "
            "when it has done that",
            "`maestro up` waits for it and shows how far it is; nothing is lost meanwhile.",
            details={"pid": holder.pid},
        )
    if holder is not None:
        return MaestroError(
            "BROKER_UNREACHABLE",
            f"a broker (pid {holder.pid}) runs for {context.data}, and nothing listens at its socket: it is "
            + ("stopping" if holder.is_stopping else "starting, or its sockets were removed"),
            f"Try again in a moment; {context.data}/logs/broker.log says what it does. `maestro down` ends it by its "
            "pid.",
            details={"pid": holder.pid},
        )
    ended = end_note.read(paths.runtime_dir(context.data, context.environ))
    why = f"; the last one had to end: {plain(ended)}" if ended is not None else ""
    return MaestroError("BROKER_UNREACHABLE", f"no broker runs for {context.data}{why}", "Start one: maestro up")


def _lines(stats: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    grouped: set[str] = set()
    for title, keys in _GROUPS.items():
        lines += [f"{title}:", *table({_label(key): _value(key, stats[key]) for key in keys if key in stats})]
        grouped.update(keys)
    rest = {key: value for key, value in stats.items() if key not in grouped and key not in _APART}
    for key, value in rest.items():
        if isinstance(value, dict):
            parts = _commit(value) if key == "commit" else value
            held = {_label(name): _value(name, part) for name, part in parts.items()}
            if key == "sweep":
                held = {_SWEEP_LABELS.get(name, _label(name)): _of_sweep(name, part) for name, part in value.items()}
            lines += [f"{_label(key)}:", *(table(held) if held else ["  none"])]
    single = {_label(key): _value(key, value) for key, value in rest.items() if not isinstance(value, dict)}
    if single:
        lines += ["more:", *table(single)]
    lines += ["limits:", *_limits(stats.get("limits", {}))]
    lines += [f"warning: {plain(warning)}" for warning in stats.get("warnings", [])]
    return lines


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


def _limits(limits: dict[str, dict[str, Any]]) -> list[str]:
    rows = []
    for name, limit in limits.items():
        unit, value = limit.get("unit", ""), limit.get("value")
        about = limit.get("what", "")
        rows.append((name, value_shown(value, unit), f"from {limit.get('from', '?')}", about))
    widths = [max((len(plain(row[column])) for row in rows), default=0) for column in range(3)]
    return [
        "  " + "  ".join([*(f"{plain(cell):<{width}}" for cell, width in zip(row[:3], widths, strict=True)), row[3]])
        for row in rows
    ]


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
