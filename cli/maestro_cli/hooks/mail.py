"""Hook mail: brings mail from a mailbox into an agent's context, once.

Rule: take the unoffered messages under a short lease, write the answer, flush it, and only then confirm: `delivered`
for a message shown whole, `offered` for a preview. A message that was not written is not confirmed, and its lease is
released.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from maestro_cli.context import now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

from .context_text import compose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import InboxDoc, ItemResultDoc, MessageDoc

    from .context_text import AgentFormat

# More previews than fit into any agent's budget.
_PAGE_MESSAGES = 64
# Writing takes milliseconds. After a crash of this process, other readers wait at most this long for the messages.
_LEASE_MS = 5_000


class HookMail:
    """One hook call's access to the mailbox that `client` speaks for."""

    def __init__(
        self,
        client: AnyClient,
        agent_format: AgentFormat,
        via: str,
        woken_by: str = "",
        *,
        locate: Callable[[Sequence[MessageDoc], AnyClient], None],
    ) -> None:
        """`via`: the name that receipts give to this hook. `woken_by`: what began the turn, where a wake did.
        `locate` gives the files of messages the paths by which the agent can open them."""
        from maestro_clients.protocol.new_ids import new_session_id

        self._client = client
        self._agent_format = agent_format
        self._via = via
        self._woken_by = woken_by or None
        self._locate = locate
        # The lease's holder: any id that no other process has.
        self._reader = new_session_id()

    def show(self, answer: Callable[[str], dict[str, Any]], opening: str = "", *, hold_quiet: bool = False) -> bool:
        """Write one JSON answer: `opening` and then the mail; nothing where both are empty. `hold_quiet`: quiet mail
        is shown only together with other mail.

        Returns whether anything was written. Raises MaestroError, and StdoutClosed as `streams.say` does; a message
        that was not written is then not confirmed.
        """
        page = self._fetch(_PAGE_MESSAGES, _LEASE_MS, hold_quiet=hold_quiet)
        messages = page["messages"]
        unoffered = page.get("unoffered", len(messages)) - page.get("leased", 0)
        agent_format = self._agent_format
        if opening:
            agent_format = agent_format._replace(budget=agent_format.budget - agent_format.size(opening) - 2)
        is_done = False
        try:
            if any("attachments" in message for message in messages):
                self._locate(messages, self._client)
            context = compose(messages, unoffered, page.get("people", {}), now_ms(), agent_format)
            text = "\n\n".join(filter(None, (opening, context.text)))
            if text:
                streams.say_json(answer(text))
            self._confirm(context.whole, "delivered")
            self._confirm(context.previewed, "offered")
            is_done = len(context.whole) + len(context.previewed) == len(messages)
        finally:
            if messages and not is_done:
                # Release the lease: the same reader leases again, for 1 ms. If this fails, the lease expires.
                with contextlib.suppress(MaestroError):
                    self._fetch(len(messages), 1)
        return bool(text)

    def _fetch(self, limit: int, lease_ms: int, *, hold_quiet: bool = False) -> InboxDoc:
        return self._client.inbox(
            offered=False,
            hold_quiet=hold_quiet,
            limit=limit,
            lease_ms=lease_ms,
            reader=self._reader,
            people=True,
        )

    def _confirm(self, ids: list[str], kind: str) -> None:
        results: list[ItemResultDoc] = []
        if ids:
            results = self._client.confirm(ids, kind, via=self._via, woken_by=self._woken_by)
        # A message that was deleted, or has expired meanwhile, needs no receipt. Other errors go to the log.
        for result in results:
            if "error" in result and result["error"]["code"] not in ("MESSAGE_NOT_FOUND", "STATUS_CONFLICT"):
                raise MaestroError.from_body(result["error"])
