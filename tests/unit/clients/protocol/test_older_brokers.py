"""A refusal that only a broker of an earlier version gives says so; every other one stays as it is."""

from __future__ import annotations

import pytest

from maestro_clients.channel.core import body_of
from maestro_clients.protocol.older_brokers import RESTART, explained, is_explained, is_older
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("INVALID", "session.touch: the request has no field `wake`; its fields are: as, id, status"),
        ("INVALID", "send: `messages[0].metadata` has no field `requiresResponse`; its fields are: priority, type"),
        ("INVALID", "confirm: Object contains unknown field `wokenBy` - at `$`"),
        ("INVALID", "session.touch: `needsInput` has no field `since`; its fields are: active"),
        ("UNKNOWN_COMMAND", "there is no command 'receipt'"),
    ],
)
def test_what_this_version_has_and_the_broker_has_not(code: str, message: str) -> None:
    error = MaestroError(code, message, "PROTOCOL.md lists it.")
    found = explained(error)
    assert (found.code, found.hint, found.http_hint) == (code, RESTART, RESTART)
    assert is_explained(found)
    assert not is_explained(error)
    assert found.message == f"the broker that runs is older than this program: {message.partition('; its')[0]}"
    with pytest.raises(MaestroError, match="is older than this program"):
        body_of((400, error.body()))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("INVALID", "session.touch: the request has no field `colour`; its fields are: as, id"),
        ("INVALID", "colour: the request has no field `wake`; its fields are: as, id"),
        ("INVALID", "session.touch: `status` can't be 'x'; it is one of: idle"),
        ("INVALID", "--limit must be at least 1, not 0"),
        ("UNKNOWN_COMMAND", "there is no command 'paint'"),
        ("FORBIDDEN", "session.touch: the request has no field `wake`"),
    ],
)
def test_what_has_another_cause(code: str, message: str) -> None:
    error = MaestroError(code, message, "hint")
    assert explained(error) is error


def test_a_broker_that_lacks_a_limit_is_older() -> None:
    own = {name: value for name, value in Limits()._asdict().items() if isinstance(value, int)}
    assert not is_older(own)
    assert not is_older({**own, "limit_of_tomorrow": 1})
    del own["pair_limit"]
    assert is_older(own)
