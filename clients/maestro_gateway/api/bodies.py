"""Shapes: what HTTP requests hold, validated while they are decoded.

Rule: a body of mail is closed (an unknown field is an error, never passed over in silence); a body of a session is
open, since the programs that the documented API grew up with send more than it names. Values and limits are the
broker's to judge: what a field says of them here (`told`) is for `/openapi.json` and `/docs`, and is not enforced.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from maestro_schemas.limits import NAME_CHARS_MAX, ON_ENDED, Limits
from maestro_schemas.messages import Message, Metadata
from maestro_schemas.names import ID_CHARS_MAX, ID_PATTERN
from maestro_schemas.sessions import ACTIVE, NeedsInput, SessionNote
from maestro_schemas.vocabularies import MessageType, Role, SessionStatus

_DEFAULTS = Limits()
# What fits into the broker's 64 bits.
_LARGEST = (1 << 63) - 1


def described(text: str, *examples: object, **constraints: object) -> Meta:
    """What the documents say of a field; `constraints` in the words of JSON Schema."""
    return Meta(description=text, examples=list(examples) or None, extra_json_schema=constraints or None)


def _listed(words: str) -> str:
    """The pattern of some of these, with commas."""
    return f"^(({words})(,({words}))*)?$"


class SendBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A message."""

    message: Annotated[
        str,
        described(
            f"The text. Its limit is the broker's setting text_chars_max, {_DEFAULTS.text_chars_max:,} characters by "
            "default; a longer one is refused, not cut. Control characters other than newline and tab, and escape "
            "sequences, are taken out.",
            "The build is green.",
            minLength=1,
        ),
    ]
    metadata: Annotated[Metadata, described("What else is said of it.")] = Metadata()
    id: Annotated[
        str | None,
        described("An id of your own, so that a repeat is the same send.", "msg_example_1", pattern=ID_PATTERN),
    ] = None
    ttl_ms: Annotated[
        int | None,
        described(
            "Its life in ms: after that it expires, unless it was delivered. At most ttl_ms_max, 7 days by default.",
            minimum=1,
            maximum=_LARGEST,
        ),
    ] = None
    on_ended: Annotated[
        str | None,
        described(
            "What becomes of it where its receiver has ended: error (409 RECEIVER_ENDED), queue (it waits until the "
            "session is started again) or redirect (to its orchestrator; the message then has originalTo). Default: "
            "the broker's setting on_ended, which is error unless set.",
            enum=[*ON_ENDED, None],
        ),
    ] = None


class StatusBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A step of a message."""

    status: Annotated[Literal["delivered", "read"], described("`read` implies `delivered`.", "read")]


class InboxQuery(Struct, frozen=True, kw_only=True):
    """What of the mailbox is wanted."""

    status: Annotated[
        str | None,
        described(
            "One or several, with commas: pending, delivered, read, failed, expired. Default: all.",
            pattern=_listed("pending|delivered|read|failed|expired"),
        ),
    ] = None
    type: Annotated[MessageType | None, described("Only messages of this metadata.type.")] = None
    since: Annotated[
        int | None, described("Only what has a greater `seq`, in that order; without it high priority comes first.")
    ] = None
    limit: Annotated[
        int | None,
        described(
            f"Messages in one answer; at most {_DEFAULTS.reply_messages_max:,}, and "
            f"{_DEFAULTS.reply_bytes_max >> 10} KiB, whichever is less.",
            minimum=1,
        ),
    ] = None


class DeadQuery(Struct, frozen=True, kw_only=True):
    """Where to go on, and how many."""

    before: Annotated[int | None, described("The `before` of the page before.", minimum=1, maximum=_LARGEST)] = None
    limit: Annotated[int | None, described("Messages in one answer, at most 100.", minimum=1, maximum=_LARGEST)] = (
        None
    )


class SessionBody(Struct, frozen=True, rename="camel", kw_only=True):
    """A session to start. `metadata.mode` of the documented clients says the role where `role` does not."""

    id: Annotated[str | None, described("Default: a fresh one.", "ann", pattern=ID_PATTERN)] = None
    name: Annotated[
        str | None,
        described(
            f"For people, on one line of at most {NAME_CHARS_MAX} characters.", "Ann", maxLength=NAME_CHARS_MAX
        ),
    ] = None
    role: Annotated[Role | None, described("Default: worker. A worker can't start an orchestrator.", "worker")] = None
    project_id: Annotated[
        str | None,
        described("Workers write to workers of their own project. Default: the parent's.", maxLength=ID_CHARS_MAX),
    ] = None
    parent_session_id: Annotated[
        str | None, described("Id or unique name. Default: the session of X-Session-ID, where that is another.")
    ] = None
    task_ids: Annotated[list[str] | None, described("At most 256.", maxItems=_DEFAULTS.batch_messages_max)] = None
    status: Annotated[
        SessionStatus | None, described("spawning, idle (the default) or working.", enum=[*sorted(ACTIVE), None])
    ] = None
    metadata: Annotated[
        dict[str, Any] | None,
        described(f"Any object, at most {_DEFAULTS.session_metadata_bytes_max:,} bytes of JSON by default."),
    ] = None
    token: Annotated[
        str | None,
        described("A secret of your own: from now on it takes the token to speak for the session.", maxLength=256),
    ] = None
    agent: Annotated[str | None, described("What kind of agent it is.", maxLength=64)] = None
    agent_session_id: Annotated[str | None, described("The agent's own id of it.", maxLength=128)] = None
    pid: Annotated[int | None, described("Its process.")] = None
    cwd: Annotated[str | None, described("Its directory.", maxLength=4_096)] = None


class SessionPatch(Struct, frozen=True, rename="camel", kw_only=True):
    """What changed of a session; what is absent stays."""

    status: Annotated[SessionStatus | None, described("An ended status ends the session.", "working")] = None
    completed_at: Annotated[
        int | None, described("Taken for the wish to end it; the time itself is the broker's to set.")
    ] = None
    needs_input: Annotated[NeedsInput | None, described("Whether it waits for a person.")] = None
    task_ids: Annotated[list[str] | None, described("At most 256.", maxItems=_DEFAULTS.batch_messages_max)] = None
    timeline: Annotated[
        list[SessionNote] | None, described("The whole timeline as the client knows it: what is new in it is added.")
    ] = None


class SessionsQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """Filters; a session is listed that fits all."""

    project_id: Annotated[str | None, described("Only of this project.")] = None
    parent_session_id: Annotated[str | None, described("Only those that this session started.")] = None
    status: Annotated[
        str | None,
        described(
            "One or several, with commas: spawning, idle, working, completed, failed, stopped. Default: all.",
            pattern=_listed("spawning|idle|working|completed|failed|stopped"),
        ),
    ] = None
    active: Annotated[bool | None, described("true: only the active ones. false: only those that have ended.")] = None


class NoteBody(Struct, frozen=True, kw_only=True):
    """A line for a session's own timeline."""

    type: Annotated[str, described("A word of your own.", "progress", minLength=1, maxLength=64)]
    message: Annotated[str, described("What happened.", "Half of it is done.", minLength=1)]
    timestamp: Annotated[int, described("When, ms. Default: now.")] = 0


class Gone(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer to a repeated send whose message has been deleted since."""

    id: str
    status: Literal["deleted"]
    to: str | None = None


class Live(Struct, frozen=True, kw_only=True):
    """This process answers."""

    status: Literal["ok"]
    version: str


class BrokerShown(Struct, frozen=True, rename="camel", kw_only=True):
    """The broker that answers. `head_lsn`: its last durable record."""

    version: str
    pid: int
    head_lsn: int


class Health(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`ready`: whether the broker answers; where it does not, `code` says why."""

    status: Literal["ok", "unavailable"]
    live: bool
    ready: bool
    version: str
    broker: BrokerShown | None = None
    code: str | None = None


class Index(Struct, frozen=True, kw_only=True):
    """Where what is. `links`: what -> path."""

    name: str
    version: str
    links: dict[str, str]


class Contract(Struct, frozen=True, kw_only=True):
    """An OpenAPI 3.1 document; its own specification says what more is in it."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class HttpError(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Any error. `code` is stable; `hint` is the next step. `retry_after`: seconds, where waiting helps. `limit` and
    `actual`: both numbers, where a limit was broken. `details`: more for programs."""

    error: Literal[True]
    status_code: int
    code: str
    message: str
    hint: str | None = None
    retry_after: float | None = None
    limit: int | None = None
    actual: int | None = None
    details: dict[str, Any] | None = None


class PromptBody(Struct, frozen=True, rename="camel", kw_only=True):
    """The documented prompt. `mode` (paste, send) was about a terminal, and means nothing to a mailbox."""

    content: Annotated[str, described("What is said.", "Look at the failing test.", minLength=1)]
    mode: str | None = None
    sender_session_id: Annotated[str | None, described("The session that asks. Default: X-Session-ID.", "ann")] = None


class MailBody(Struct, frozen=True, rename="camel", kw_only=True):
    """The documented mail: a short message, and perhaps a long one."""

    message: Annotated[str, described("The short form.", "The build is green.", minLength=1)]
    from_session_id: Annotated[str | None, described("The session that asks. Default: X-Session-ID.", "ann")] = None
    from_name: Annotated[str | None, described("Default: the session's name.")] = None
    detail: Annotated[str | None, described("The long form.")] = None


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


class DeadPage(Struct, frozen=True, rename="camel", kw_only=True):
    """Expired messages, the newest expiry first. `before`: where the next page goes on, if `has_more`; a page may be
    short, even empty, and there be more."""

    messages: list[Message]
    count: int
    has_more: bool
    before: int


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
    watching: bool | UnsetType = UNSET
