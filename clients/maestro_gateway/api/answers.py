"""Answers: the fields of the answers of HTTP that are no document of the wire.

Rule: an answer that the wire's replies have already is not repeated here.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from maestro_schemas.limits import Limits
from maestro_schemas.messages import Message
from maestro_schemas.replies import MessagesReply, SendResult, SessionPresence
from maestro_schemas.sessions import NeedsInput, Presence, SessionNote
from maestro_schemas.vocabularies import Role, SessionStatus, WakeSetting

_DEFAULTS = Limits()
# The largest number that a request to the broker holds.
_LARGEST = (1 << 64) - 1


class Gone(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer to a repeated send whose message has been deleted since."""

    id: str
    status: Literal["deleted"]
    to: str | None = None


class Blob(Struct, frozen=True, kw_only=True):
    """An uploaded content, as `attachments` of a message names it."""

    # The digest in hex.
    sha256: str
    # Bytes.
    size: int


class Live(Struct, frozen=True, kw_only=True):
    """The gateway's process answers."""

    status: Literal["ok"]
    version: str


class BrokerShown(Struct, frozen=True, rename="camel", kw_only=True):
    """The broker that answers."""

    version: str
    pid: int
    # Its last durable record.
    head_lsn: int


class Health(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The state of the gateway."""

    status: Literal["ok", "unavailable"]
    live: bool
    # Whether the broker answers.
    ready: bool
    version: str
    broker: BrokerShown | None = None
    # Why the broker does not answer.
    code: str | None = None


class Index(Struct, frozen=True, rename="camel", kw_only=True):
    """Index of the service."""

    name: str
    # Of the product.
    version: str
    # Of the HTTP interface.
    api_version: str
    # Subject -> path.
    links: dict[str, str]


class Contract(Struct, frozen=True, kw_only=True):
    """An OpenAPI 3.1 document; the OpenAPI specification describes its parts."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class HttpError(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Any error."""

    error: Literal[True]
    status_code: int
    # Stable: programs may branch on it.
    code: str
    message: str
    # The next step.
    hint: str | None = None
    # Seconds, where waiting helps.
    retry_after: float | None = None
    # The limit that was exceeded.
    limit: int | None = None
    # The number that exceeded it.
    actual: int | None = None
    # More, for programs.
    details: dict[str, Any] | None = None


class Fault(Struct, frozen=True, kw_only=True):
    """What is wrong with one field."""

    # The field's name; empty for the whole body.
    path: str
    message: str


class FaultsError(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """An error of a call of Maestro's mail generation: as any error, but VALIDATION_ERROR has a list of faults."""

    error: Literal[True]
    status_code: int
    code: str
    message: str
    hint: str | None = None
    retry_after: float | None = None
    limit: int | None = None
    actual: int | None = None
    details: list[Fault] | dict[str, Any] | None = None


class Success(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The message is on disk."""

    success: bool
    mail_id: str | None = None


class MailShown(Struct, frozen=True, rename="camel", kw_only=True):
    """Mail as the documented clients read it."""

    id: str
    parent_session_id: str | None
    from_session_id: str
    from_name: str
    to_session_id: str
    message: str
    detail: str | None
    created_at: int
    read_at: int | None


class ThreadShown(Struct, frozen=True, rename="camel", kw_only=True):
    """A thread, the oldest message first."""

    # The id of its first message, which may be deleted by now.
    thread_id: str
    messages: list[Message]
    count: int
    has_more: bool


class InboxPage(Struct, frozen=True, rename="camel", kw_only=True):
    """A page of a mailbox."""

    messages: list[Message]
    count: int
    has_more: bool
    # The `since` of the next page, when paging by `since`.
    up_to: int
    # Pending messages in the whole mailbox.
    pending: int


class DeadPage(Struct, frozen=True, rename="camel", kw_only=True):
    """Expired messages, the newest expiry first. A page may be short, or even empty, with more to come."""

    messages: list[Message]
    count: int
    has_more: bool
    # The `before` of the next page, if `has_more`.
    before: int


class AllDeadPage(DeadPage, frozen=True, rename="camel", kw_only=True):
    """Dead letters, the newest first: one entry for each receiver. A page may be short, or even empty, with more to
    come."""

    # A message's id -> that under which it was sent again.
    retried: dict[str, str]


class SentAgain(SendResult, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The outcome of a retry."""

    # The dead message's id.
    retry_of: str


class GatewayShown(Struct, frozen=True, rename="camel", kw_only=True):
    """The gateway."""

    version: str
    # Where the request reached it.
    address: str
    # ms.
    started_at: int
    connections: int
    connections_max: int
    # Clients that get events, by the way they come.
    web_sockets: int
    event_streams: int
    mail_waits: int


class OfficeStatus(Struct, frozen=True, kw_only=True):
    """The state of the post office."""

    # As `stats` in PROTOCOL.md.
    broker: dict[str, Any]
    gateway: GatewayShown


class PresencePage(Struct, frozen=True, kw_only=True):
    """What is known of the sessions now, the newest last. While there are more, the answer has a header `Link`."""

    presence: list[SessionPresence]


class SaidPage(MessagesReply, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A page of what was said, the oldest message first. A page may be short, or even empty, with more to come."""

    # The number of messages in it.
    count: int


class StepDone(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A message with its new status; times in ms."""

    id: str
    status: str
    delivered_at: int | None = None
    read_at: int | None = None


class SessionShown(Struct, frozen=True, rename="camel", kw_only=True):
    """The documented Session: every documented field is there, null or empty where the session has none."""

    id: str
    role: Role
    project_id: str
    status: SessionStatus
    started_at: int
    last_activity: int
    name: str | None
    parent_session_id: str | None
    task_ids: list[str]
    completed_at: int | None
    needs_input: NeedsInput
    metadata: dict[str, Any]
    timeline: list[SessionNote]
    agent: str | UnsetType = UNSET
    agent_session_id: str | UnsetType = UNSET
    pid: int | UnsetType = UNSET
    cwd: str | UnsetType = UNSET
    wake: WakeSetting | UnsetType = UNSET
    wake_by: str | UnsetType = UNSET
    has_token: bool | UnsetType = UNSET
    watching: bool | UnsetType = UNSET
    # Which process has that pid.
    pid_start: str | UnsetType = UNSET
    # What is known of it at the moment.
    presence: Presence | UnsetType = UNSET
