"""No mail: whether there is any, and what `maestro inbox` prints where there is none.

Rule: it imports nothing, because most calls of `maestro inbox` find no mail.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import InboxDoc

STATUSES_NEW = ["pending"]
STATUSES_UNREAD = ["pending", "delivered"]


def first(client: AnyClient, *, unread: bool) -> InboxDoc | None:
    """A page of one message with the broker's `printCharsMax`, or None where there is no mail.

    It is read without a lease, which changes nothing and also finds mail that another reader holds. The mailbox's
    marker `.pending` would not do: mail that a hook has offered is still pending, and without a broker, or for an
    ended session, the answer is an error.
    """
    page = client.inbox(status=STATUSES_UNREAD if unread else STATUSES_NEW, limit=1, people=True)
    return page if page["messages"] or page["hasMore"] else None


def text(*, unread: bool, as_json: bool) -> str:
    """What is printed then. `unread`: messages that were shown before were asked for, too."""
    if as_json:
        return '{"messages": [], "count": 0, "hasMore": false}'
    return "No unread messages." if unread else "No new messages."
