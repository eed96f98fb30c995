"""Shapes: what HTTP requests hold, validated while they are decoded.

Rule: a body of mail is closed (an unknown field is an error, never passed over in silence); a body of a session is
open, since the programs that the documented API grew up with send more than it names. Values and limits are the
broker's to judge.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from maestro_schemas.messages import Message, MessageType, Metadata
from maestro_schemas.sessions import NeedsInput, Role, SessionNote, SessionStatus


class SendBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A message. `id`: the client's own, so that a repeat is the same send. `ttl_ms`: its life."""

    message: str
    metadata: Metadata = Metadata()
    id: str | None = None
    ttl_ms: int | None = None


class StatusBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A step of a message."""

    status: Literal["delivered", "read"]


class InboxQuery(Struct, frozen=True, kw_only=True):
    """`status`: one or several, with commas; default all. `since`: a `seq`. `limit`: messages in one answer."""

    status: str | None = None
    type: MessageType | None = None
    since: int | None = None
    limit: int | None = None


class SessionBody(Struct, frozen=True, rename="camel", kw_only=True):
    """A session to start. `metadata.mode` of the documented clients says the role where `role` does not."""

    id: str | None = None
    name: str | None = None
    role: Role | None = None
    project_id: str | None = None
    parent_session_id: str | None = None
    task_ids: list[str] | None = None
    status: SessionStatus | None = None
    metadata: dict[str, Any] | None = None
    token: str | None = None
    agent: str | None = None
    agent_session_id: str | None = None
    pid: int | None = None
    cwd: str | None = None


class SessionPatch(Struct, frozen=True, rename="camel", kw_only=True):
    """What changed of a session. `completed_at` is the broker's to set, and taken for the wish to end it."""

    status: SessionStatus | None = None
    completed_at: int | None = None
    needs_input: NeedsInput | None = None
    task_ids: list[str] | None = None
    timeline: list[SessionNote] | None = None


class SessionsQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """`status`: one or several, with commas."""

    project_id: str | None = None
    parent_session_id: str | None = None
    status: str | None = None
    active: bool | None = None


class NoteBody(Struct, frozen=True, kw_only=True):
    """A line for a session's own timeline. `timestamp`: ms; default now."""

    type: str
    message: str
    timestamp: int = 0


class PromptBody(Struct, frozen=True, rename="camel", kw_only=True):
    """The documented prompt. `mode` (paste, send) was about a terminal, and means nothing to a mailbox."""

    content: str
    mode: str | None = None
    sender_session_id: str | None = None


class MailBody(Struct, frozen=True, rename="camel", kw_only=True):
    """The documented mail: a short message, and perhaps a long one."""

    message: str
    from_session_id: str | None = None
    from_name: str | None = None
    detail: str | None = None


class Success(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """It is on disk."""

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
    """A thread, the oldest message first; `thread_id` is the id of its first, which may be deleted by now."""

    thread_id: str
    messages: list[Message]
    count: int
    has_more: bool


class InboxPage(Struct, frozen=True, rename="camel", kw_only=True):
    """`up_to`: the `since` of the next page when paging by `since`. `pending`: all that the mailbox holds."""

    messages: list[Message]
    count: int
    has_more: bool
    up_to: int
    pending: int


class StepDone(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A message after its step; times in ms."""

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
    has_token: bool | UnsetType = UNSET
