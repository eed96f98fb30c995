"""`maestro spool prune`: remove everything that is older than its retention, now.

Rule: the broker removes it beside its other work; this command starts a round and polls its progress.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option
    from maestro_schemas.documents import PruneDoc, SweptDoc

DETAILS = """\
The broker does this by itself every half hour; see `sweep` in `maestro
status`. It removes messages that were delivered, read, or have expired or
failed, when they have not changed for the retention (7 days unless set
otherwise; read mail may have another one); tombstones, which record that an
id was used; empty folders; sessions that ended before the retention and have
no mail left; outbox entries that the broker refused; files of the timeline
and of the dead letters. Pending mail of that age expires first, and its
sender is notified.

Examples:
  maestro spool prune --dry-run
  maestro spool prune
  maestro spool prune --older-than 3d --json"""

_POLL_S = 0.1
_KINDS = (
    ("messages", "messages"),
    ("expired", "pending messages, which become expired"),
    ("tombstones", "tombstones of removed messages"),
    ("folders", "empty folders"),
    ("sessions", "sessions"),
    ("groups", "groups without an active member"),
    ("timelineFiles", "days of the timeline or of the dead letters"),
    ("attachments", "attached files that no message names"),
)


def run(
    *,
    dry_run: Annotated[bool, Option(name="--dry-run", help="Only count what would be removed.")] = False,
    older_than: Annotated[
        str | None,
        Option(
            name="--older-than",
            metavar="TIME",
            help="Instead of the retention, e.g. 3d. Pending mail and sessions keep theirs.",
        ),
    ] = None,
    as_json: Annotated[bool, Option(name="--json", help="Print the counts, and the retention, as JSON.")] = False,
) -> int:
    """Prune now."""
    import time

    from maestro_cli.arguments import duration_ms
    from maestro_cli.output.progress import progress
    from maestro_schemas.errors import MaestroError

    older_than_ms = None if older_than is None else duration_ms("--older-than", older_than)
    with CommandContext.here().client() as client, progress("prune") as show:
        retention = _retention(client.stats())
        report = client.prune(dry_run=dry_run, older_than_ms=older_than_ms)
        while not report["done"]:
            show("files looked at:", report["lookedAt"])
            time.sleep(_POLL_S)
            report = client.prune(number=report["round"])
    if "failure" in report:
        raise MaestroError(
            "INTERNAL", report["failure"], "What was removed stays removed; repair the cause and prune again."
        )
    if as_json:
        streams.say_json({**report, "retention": retention})
    else:
        streams.say("\n".join([*_lines(report), _kept(retention)]))
    return 0


def _retention(stats: dict[str, Any]) -> dict[str, dict[str, int]]:
    """The retention that is in force: of all projects (""), and of those that have their own. A project that sets
    only its `retention` has it for read mail too."""
    limits = stats["limits"]
    general = {name: int(limits[name]["value"]) for name in ("retention_ms", "read_retention_ms")}
    found = {"": general}
    for project, rows in stats.get("config", {}).get("projects", {}).items():
        own = {name: int(row["value"]) for name, row in rows.items()}
        found[project] = {**general, **({"read_retention_ms": 0} if "retention_ms" in own else {}), **own}
    return {
        project: {"keptMs": own["retention_ms"], "afterReadingMs": own["read_retention_ms"] or own["retention_ms"]}
        for project, own in found.items()
    }


def _kept(retention: dict[str, dict[str, int]]) -> str:
    from maestro_cli.output.render import plain
    from maestro_schemas.limits import duration_text

    def words(own: dict[str, int]) -> str:
        kept, after = own["keptMs"], own["afterReadingMs"]
        return duration_text(kept) + (f", {duration_text(after)} after it was read" if after != kept else "")

    others = [f"of {plain(project)} for {words(own)}" for project, own in retention.items() if project]
    return f"Mail is kept for {'; '.join([words(retention['']), *others])}."


def _lines(report: PruneDoc) -> list[str]:
    from maestro_cli.output.render import duration
    from maestro_clients.texts.byte_counts import size

    swept: SweptDoc = report["swept"]
    looked = f"{report['lookedAt']:,} files looked at in {duration(report['tookMs'])}"
    counts = [(swept.get(key, 0), words) for key, words in _KINDS]
    if not any(count for count, _ in counts):
        return [f"Nothing {'would go' if report['dryRun'] else 'went'}; {looked}."]
    held = size(int(swept.get("bytes", 0)))
    lines = [f"{'Would go' if report['dryRun'] else 'Gone'}: {held}; {looked}."]
    return lines + [f"  {count:>9,}  {words}" for count, words in counts if count]
