"""Context: what all handlers of one gateway share.

Rule: made once, when the application starts, and found at `app.state.gateway`; nothing else is global.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import asyncio

    from .broker_link import BrokerLink
    from .events.feed import Feed
    from .events.mail_waits import MailWaits
    from .events.tool_calls import ToolCalls
    from .http.page.logins import Logins
    from .http.unconfirmed_sends import UnconfirmedSends
    from .metrics import GatewayMetrics
    from .options import GatewayOptions


class GatewayContext(NamedTuple):
    """What the handlers share."""

    options: GatewayOptions
    broker: BrokerLink
    metrics: GatewayMetrics
    # The OpenAPI document.
    contract: dict[str, Any]
    unconfirmed: UnconfirmedSends
    feed: Feed
    waits: MailWaits
    tool_calls: ToolCalls
    # One for each upload at once.
    uploads: asyncio.Semaphore
    logins: Logins
    # When the gateway began to serve.
    started_ms: int
