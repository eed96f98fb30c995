"""Holdings: what all handlers of one gateway share.

Rule: made once, when the application starts up, and found at `app.state.gateway`; nothing else is global.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .api.legacy import UnconfirmedSends
    from .broker_link import BrokerLink
    from .events.feed import Feed
    from .metrics import GatewayMetrics
    from .options import GatewayOptions


class GatewayContext(NamedTuple):
    """What the handlers share; `app.state.gateway`. `contract`: the OpenAPI document."""

    options: GatewayOptions
    broker: BrokerLink
    metrics: GatewayMetrics
    contract: dict[str, Any]
    unconfirmed: UnconfirmedSends
    feed: Feed
