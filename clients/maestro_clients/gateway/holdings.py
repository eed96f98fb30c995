"""Holdings: what all handlers of one gateway share.

Rule: made once, when the application starts up, and found at `app.state.gateway`; nothing else is global.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .facades import Doubts
    from .feed import Feed
    from .metrics import Metrics
    from .options import Options
    from .post import Post


class Gateway(NamedTuple):
    """What the handlers share; `app.state.gateway`. `contract`: the OpenAPI document."""

    options: Options
    post: Post
    metrics: Metrics
    contract: dict[str, Any]
    doubts: Doubts
    feed: Feed
