"""Message ids: a whole one, or one too short to be looked up, costs no request."""

from __future__ import annotations

from typing import Any, cast

import pytest

from maestro_cli.addressing import message_ids

NO_CLIENT = cast("Any", None)


@pytest.mark.parametrize("text", ["msg_1770536761607_k3v9x2m1a_2oztxul", "plan-7_2oztxul", "m1", ""])
@pytest.mark.parametrize("for_reply", [False, True])
def test_no_request_is_made(text: str, *, for_reply: bool) -> None:
    assert message_ids.resolve(NO_CLIENT, text, for_reply=for_reply) == text
    assert message_ids.resolved(NO_CLIENT, text, for_reply=for_reply) == text
    assert message_ids.resolve_all(NO_CLIENT, [text, text]) == [text]
