"""Status summary: whether the broker is well, on one screen.

Rule: pure; the document of `stats` in, lines out. What is as it should be takes few words, what is not comes first.
"""

from __future__ import annotations

from maestro_cli.context import now_ms
from maestro_clients.texts.ages import moment
from maestro_clients.texts.byte_counts import size
from maestro_clients.texts.fence import named

from .render import duration
from .styles import styled
from .tables import Column, table
from .wrapping import fitted

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Any

_COLUMNS = (Column(""), Column("", least=16, wraps=True))
_MAILBOXES_MAX = 3
_CODES_MAX = 4


def lines(stats: dict[str, Any], names: dict[str, str], width: int | None) -> list[str]:
    """The screen. `names`: of sessions, by id. `width`: the terminal's; None for no bound."""
    warnings = list(map(str, stats.get("warnings", [])))
    outbox = stats.get("outbox", {})
    if outbox.get("failed"):
        count = outbox["failed"]
        said = "1 message of the outbox was" if count == 1 else f"{count:,} messages of the outbox were"
        warnings.append(f"{said} refused: maestro outbox")
    rows = [
        ("up", _up(stats)),
        ("sessions", _counts(stats.get("sessions", {})) or "none"),
        ("mail", _mail(stats)),
        ("fullest", _fullest(stats, names)),
        ("outbox", f"{outbox['waiting']:,} waiting" if outbox.get("waiting") else ""),
        ("refused", _refused(stats)),
        ("disk", _disk(stats)),
        ("page", _page(stats)),
        ("files", str(stats.get("dataDir", ""))),
    ]
    body = table(_COLUMNS, [(f"  {label}", said) for label, said in rows if said], width)
    return [
        *fitted([_state(warnings)], width),
        *fitted([f"  {styled('warning:', 'bold', 'yellow')} {warning}" for warning in warnings], width),
        *body,
        *fitted([styled("  everything, with every limit: maestro status --all", "dim")], width),
    ]


def _state(warnings: list[str]) -> str:
    if not warnings:
        return styled("The broker is well.", "bold", "green")
    count = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    return styled(f"The broker runs, with {count}:", "bold", "yellow")


def _up(stats: dict[str, Any]) -> str:
    up, since = duration(stats.get("uptimeMs", 0) // 1000 * 1000), moment(stats.get("startedAt", 0), now_ms())
    return f"{up}, since {since}; version {stats.get('version', '?')}, pid {stats.get('pid', '?')}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)


def _mail(stats: dict[str, Any]) -> str:
    pending = stats.get("mailboxes", {}).get("pending", 0)
    said = stats.get("messages", {})
    since = ", ".join(f"{said[step]:,} {step}" for step in ("accepted", "delivered", "read") if said.get(step))
    return f"{pending:,} pending" + (f"; since the start {since}" if since else "")


def _fullest(stats: dict[str, Any], names: dict[str, str]) -> str:
    found = list(stats.get("mailboxes", {}).get("fullest", {}).items())[:_MAILBOXES_MAX]
    most = stats.get("limits", {}).get("pending_max", {}).get("value")
    each = ", ".join(f"{named(names.get(session, session))} {count:,}" for session, count in found)
    return f"{each}{f' (of {most:,})' if most else ''}" if each else ""


def _refused(stats: dict[str, Any]) -> str:
    codes = sorted(stats.get("refusedByCode", {}).items(), key=lambda item: -item[1])
    more = f", {len(codes) - _CODES_MAX} more" if len(codes) > _CODES_MAX else ""
    return ", ".join(f"{count:,} {named(code)}" for code, count in codes[:_CODES_MAX]) + more


def _disk(stats: dict[str, Any]) -> str:
    disk = stats.get("disk", {})
    parts = [
        (disk.get("freeBytes"), "free"),
        (disk.get("journalBytes"), "of journal"),
        (disk.get("mailBytes"), "of mail"),
    ]
    return ", ".join(f"{size(count)} {what}" for count, what in parts if isinstance(count, int))


def _page(stats: dict[str, Any]) -> str:
    gateway = stats.get("http", {})
    return str(gateway.get("url", "running")) if gateway.get("running") else "not running; `maestro ui` opens it"
