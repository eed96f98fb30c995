"""Hook mail: mail from a mailbox into an agent's context, once.

Rule: fetch under a short lease what nobody was shown yet, write it out, flush, and only then confirm: `delivered`
what was shown whole, `offered` what was only begun. What was not written out is not confirmed, and the lease of
what there was no room for is given back.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from maestro_cli.context import now_ms
from maestro_cli.output import streams
from maestro_cli.output.render import correspondent
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER

from .context_text import compose

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from maestro_clients.client import Client
    from maestro_schemas.documents import InboxDoc, ItemResultDoc

    from .context_text import AgentFormat

# More than fit as previews into any budget.
_PAGE_MESSAGES = 64
# A crash of this process holds the mail back from others for so long; writing it out takes milliseconds.
_LEASE_MS = 5_000


class HookMail:
    """One hook's look into one mailbox. `via`: what the receipts say."""

    def __init__(self, client: Client, voice: AgentFormat, via: str) -> None:
        from maestro_clients.protocol.new_ids import new_session_id

        self._client = client
        self._voice = voice
        self._via = via
        # Any id that is this process's own.
        self._reader = new_session_id()

    def show(self, answer: Callable[[str], dict[str, Any]], opening: str = "") -> bool:
        """Write one JSON answer with the mail behind `opening`; nothing where both are empty. Returns whether
        anything was written. Raises MaestroError, and StdoutClosed as `output.say` does; then nothing is confirmed.
        """
        page = self._fetch(self._client, _PAGE_MESSAGES, _LEASE_MS)
        waiting = page.get("unoffered", len(page["messages"])) - page.get("leased", 0)
        voice = self._voice
        if opening:
            voice = voice._replace(budget=voice.budget - voice.size(opening) - 2)
        fetched = len(page["messages"])
        done = False
        try:
            context = compose(page["messages"], waiting, _labels(page), now_ms(), voice)
            text = "\n\n".join(filter(None, (opening, context.text)))
            if text:
                streams.say_json(answer(text))
            self._confirm(context.whole, "delivered")
            self._confirm(context.previewed, "offered")
            done = len(context.whole) + len(context.previewed) == fetched
        finally:
            if fetched and not done:
                # The same read again, for a millisecond; it runs out by itself where that fails.
                with contextlib.suppress(MaestroError):
                    self._fetch(self._client, fetched, 1)
        return bool(text)

    def _fetch(self, client: Client, limit: int, lease_ms: int) -> InboxDoc:
        return client.inbox(offered=False, limit=limit, lease_ms=lease_ms, reader=self._reader, people=True)

    def _confirm(self, ids: list[str], kind: str) -> None:
        results: list[ItemResultDoc] = self._client.confirm(ids, kind, via=self._via) if ids else []
        # Deleted or expired meanwhile is as good as done; the rest is worth a line in the log.
        for result in results:
            if "error" in result and result["error"]["code"] not in ("MESSAGE_NOT_FOUND", "STATUS_CONFLICT"):
                raise MaestroError.from_body(result["error"])


def _labels(page: InboxDoc) -> dict[str, str]:
    """What is shown for each session that the messages name, by session id."""
    people = page.get("people", {})
    labels = {session_id: correspondent(session_id, person) for session_id, person in people.items()}
    return {SYSTEM_SENDER: "the post office itself", **labels}
