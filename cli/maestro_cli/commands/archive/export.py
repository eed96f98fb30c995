"""`maestro export`: conversations as Markdown, JSON Lines, or one HTML page.

Rule: it holds only what the caller may see, and reading it marks nothing.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import COUNTS, AsOption, Option, YesOption

USAGE = "maestro export [thread ID | with A B | group NAME | session ID] [OPTIONS]"
DETAILS = """\
Without a word: all that the caller may see. `thread ID`: the thread of any of
its messages. `with A B`: between two sessions; with one name, between you and
it. `md` is for people and pull requests, `jsonl` for programs (each line has
the message and its receipt), `html` is one page without scripts.

With --out DIR the file is named for what it holds. A file that exists is left
alone without --force.

Examples:
  maestro export thread k3v9 --out review.md
  maestro export with ann ben --since 2d
  maestro export group reviews --format html --out reviews.html
  maestro export --query "cart has:attachment" --attachments --out cart/
  maestro export session ann --format jsonl --no-text > ann.jsonl"""


def run(
    *what: Annotated[str, Option(name="WHAT", help="`thread ID`, `with A B`, `group NAME` or `session ID`.")],
    query: Annotated[
        str | None, Option(name="--query", metavar="QUERY", any_text=True, help="What `search` finds.")
    ] = None,
    kind: Annotated[Literal["md", "jsonl", "html"], Option(name="--format", help="Default: md.")] = "md",
    out: Annotated[
        str | None, Option(name=["--out", "-o"], metavar="PATH", help="A file or a directory. Default: print it.")
    ] = None,
    attachments: Annotated[bool, Option(help="Save the messages' files too, in --out DIR.")] = False,
    no_text: Annotated[bool, Option(name="--no-text", help="Leave the texts and the data out.")] = False,
    since: Annotated[
        str | None, Option(metavar="TIME", help="Only from this time on: 2h ago, a day, or a moment.")
    ] = None,
    until: Annotated[str | None, Option(metavar="TIME", help="Only before this time.")] = None,
    limit: Annotated[
        int | None,
        Option(numbers=COUNTS, name=["--limit", "-n"], metavar="N", help="The newest N at most. Default: all."),
    ] = None,
    force: Annotated[bool, Option(help="Write over a file that exists.")] = False,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: Annotated[
        bool,
        Option(name="--json", help='The same as --format jsonl; with --out, print {"path", "messages", "bytes"}.'),
    ] = False,
) -> int:
    """Export conversations."""
    from maestro_cli.archive import export_run, times
    from maestro_cli.arguments import checked_text
    from maestro_schemas.errors import MaestroError

    context = CommandContext.here(speaks_as, sure=yes)
    asked = export_run.query_of(
        [checked_text("WHAT", word) for word in what],
        None if query is None else checked_text("--query", query),
        context.own_session,
    )
    if query is not None and not query.strip():
        raise MaestroError("INVALID", "the query is empty", "Leave --query off for all messages.")
    since_ms, until_ms = times.window(since, until)
    context.check_person("an export", "export", sure=yes)
    kind = "jsonl" if as_json else kind
    asked = asked._replace(since=since_ms, until=until_ms, limit=limit, receipts=kind == "jsonl")
    return export_run.run(
        context, asked, kind, out, attachments=attachments, texts=not no_text, force=force, as_json=as_json
    )
