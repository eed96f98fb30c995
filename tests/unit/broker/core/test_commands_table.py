"""The command table: everything that differs between commands follows from its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from maestro_broker.attachments.blob_handlers import BlobHandlers
from maestro_broker.attachments.blob_store import BlobStore
from maestro_broker.core import commands, key_authorization
from maestro_broker.core.context import RequestContext
from maestro_broker.core.model.reads import Read
from maestro_broker.core.model.records import Refused
from maestro_broker.server.handlers import ServerHandlers
from maestro_schemas import NOT_REPEATABLE
from maestro_schemas.commands import BY_REQUEST, COMMANDS, REQUESTS, ProtocolCommand, decode_request
from maestro_schemas.errors import FatalError, MaestroError
from maestro_schemas.keys import Key
from maestro_schemas.limits import Limits
from maestro_schemas.requests import Request, Stats
from support.offices import Office, keys
from support.vectors import vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_broker.core.model.state import State

FIRST = {vector.kind: vector.raw for vector in reversed(vectors()) if vector.file == "requests"}
KEYS = [
    Key("k", "p" * 40, 1)._replace(**scope)
    for scope in ({}, {"own": True}, {"sessions": ("ann",)}, {"project": "default"}, {"any_session": True})
]


@pytest.fixture
def office() -> Office:
    made = Office()
    made.start("ann")
    return made


def row(name: str) -> ProtocolCommand:
    return next(command for command in COMMANDS if command.name == name)


def example(command: ProtocolCommand, **fields: Any) -> Request:
    """A valid request of the command."""
    document = msgpack.unpackb(FIRST[command.name])
    return decode_request(command.name.encode(), msgpack.packb({**document, "as": {}, **fields}))


def test_every_command_has_a_row_and_a_handler() -> None:
    blobs = BlobHandlers("", BlobStore(""), Limits())
    blobs.close()
    needed: Any = dict.fromkeys(ServerHandlers._fields)  # only the names of the handlers matter
    handlers = ServerHandlers(**{**needed, "blobs": blobs}).table()
    assert list(handlers) != []
    assert set(handlers) == set(BY_REQUEST) == set(REQUESTS.values())
    assert len(COMMANDS) == len(REQUESTS) == len(BY_REQUEST), "a name or a request stands there twice"
    assert {command.name for command in COMMANDS if not command.repeatable} == set(NOT_REPEATABLE)


def test_a_new_row_opens_nothing() -> None:
    forgotten = ProtocolCommand("new", Stats, row("stats").reply)
    assert (forgotten.scope, forgotten.remote, forgotten.from_reserve) == ("operator", "operator", False)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.scope())
def test_what_a_key_may_call(office: Office, command: ProtocolCommand, key: Key) -> None:
    """A command that is not opened to keys is refused to each but an operator's, whatever session is named."""
    for who in ({}, {"session": "ann"}):
        request = example(command, **{"as": who})
        assert key_authorization.check(office.state, key._replace(operator=True), request) is request
        if command.remote == "operator":
            with pytest.raises(MaestroError) as caught:
                key_authorization.check(office.state, key, request)
            assert caught.value.code == "FORBIDDEN"
    if command.remote == "session":
        with pytest.raises(MaestroError) as caught:
            key_authorization.check(office.state, key, example(command))
        assert caught.value.code == "NO_SESSION"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_who_may_call_it_on_this_machine(office: Office, command: ProtocolCommand) -> None:
    """`execute` asks before any handler does."""

    def handler(*_: object) -> str:
        return "done"

    def outcome(**who: str) -> str:
        request = example(command, **{"as": who})
        try:
            return str(commands.execute(handler, office.state, request, RequestContext(1), office.load))
        except MaestroError as error:
            return error.code

    refusals = {"operator": ("done", "FORBIDDEN"), "session": ("NO_SESSION", "done"), "anyone": ("done", "done")}
    assert (outcome(), outcome(session="ann")) == refusals[command.scope]


@pytest.fixture
def renamed() -> Iterator[None]:
    """Every request's Struct has another name."""
    for command in COMMANDS:
        command.request.__name__ = f"Renamed{command.request.__name__}"
    yield
    for command in COMMANDS:
        command.request.__name__ = command.request.__name__.removeprefix("Renamed")


@pytest.mark.usefixtures("renamed")
def test_the_name_of_a_struct_means_nothing(office: Office) -> None:
    for command in COMMANDS:
        request = example(command)
        assert BY_REQUEST[type(request)] is command
        if command.remote == "operator":
            with pytest.raises(MaestroError, match="operator's"):
                key_authorization.check(office.state, KEYS[-1], request)
    assert office.accept("ann", "ann", "m1").seq == 1
    assert keys(office.inbox("ann")) == ["m1"]


def _changing(state: State, *_: object) -> Iterator[Read]:
    state.apply(Refused(1, "CONFLICT"), None)
    yield Read("file", "ann", "m1")


def test_a_handler_that_reads_after_a_change_is_found_out(office: Office) -> None:
    request = example(row("inbox"))
    with pytest.raises(AssertionError, match=r"Inbox reads Read.* after a change"):
        commands.execute(_changing, office.state, request, RequestContext(1), office.load)


def test_a_handler_that_refuses_after_a_change_is_found_out(office: Office) -> None:
    def refusing(state: State, *_: object) -> None:
        state.apply(Refused(1, "CONFLICT"), None)
        raise error

    error: MaestroError = MaestroError("INVALID", "too late")
    with pytest.raises(AssertionError, match="Inbox refuses after a change"):
        commands.execute(refusing, office.state, example(row("inbox")), RequestContext(1), office.load)
    # A fatal failure is no refusal.
    error = FatalError("JOURNAL_FAILED", "the disk is broken")
    with pytest.raises(FatalError):
        commands.execute(refusing, office.state, example(row("inbox")), RequestContext(1), office.load)


def test_only_an_inbox_waits_for_a_whole_mailbox(office: Office) -> None:
    """Reads of whole mailboxes are loaded in steps; a request of another command would wait with them."""
    office.accept("ann", "ann", "m1")
    office.file()
    office.make_checkpoint()
    for command in COMMANDS:
        if command.request in commands.HANDLERS:
            office.crash()
            try:
                office.do(example(command, **{"as": {"session": "ann"}}))
            except MaestroError:
                pass
            kinds = {read.kind for read in office.reads}
            assert command.name == "inbox" or kinds.isdisjoint({"pending", "mailbox"}), command.name
