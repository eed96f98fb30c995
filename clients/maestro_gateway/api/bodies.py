"""Bodies: the fields of HTTP requests and answers, validated while they are decoded.

Rule: a message's body is closed: an unknown field is an error. A session's body is open, because the programs that
the documented API was made for send more fields than it names. The broker judges values and limits. What a field
says of them here (`described`) is for `/openapi.json` and `/docs`, and is not enforced.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from maestro_schemas.limits import CWD_CHARS_MAX, NAME_CHARS_MAX, NOTE_METADATA_BYTES_MAX, ON_ENDED, Limits
from maestro_schemas.messages import Metadata
from maestro_schemas.names import ID_CHARS_MAX, ID_PATTERN
from maestro_schemas.sessions import ACTIVE, NeedsInput, SessionNote
from maestro_schemas.vocabularies import MessageType, Role, SessionStatus

_DEFAULTS = Limits()
# The largest number that a request to the broker holds.
_LARGEST = (1 << 64) - 1


def described(text: str, *examples: object, **constraints: object) -> Meta:
    """A field's description in the documents; `constraints` in the words of JSON Schema."""
    return Meta(description=text, examples=list(examples) or None, extra_json_schema=constraints or None)


def _listed(words: str) -> str:
    """The pattern of a list of these words with commas, which may be empty."""
    return f"^(({words})(,({words}))*)?$"


class FileBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A file that a message names, uploaded before."""

    name: Annotated[
        str,
        described(
            "The file's name. It is made safe: the last component, at most 120 bytes.", "cart.patch", minLength=1
        ),
    ]
    sha256: Annotated[str, described("The digest, as POST /api/blobs has answered it.", pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, described("The size, as POST /api/blobs has answered it.", minimum=0, maximum=_LARGEST)]
    type: Annotated[
        str | None, described("A media type, a hint to its reader. Default: by the name.", "text/x-patch")
    ] = None


class FileQuery(Struct, frozen=True, kw_only=True):
    """How a file is sent."""

    inline: Annotated[
        bool, described("1: a PNG, JPEG, GIF or WebP image is sent to be shown. Every other file is to be saved.")
    ] = False


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
    metadata: Annotated[Metadata, described("More about the message.")] = Metadata()
    sender: Annotated[
        str | None, described("The session of X-Session-ID once more, as the documented calls have it.")
    ] = field(default=None, name="from")
    to: Annotated[str | None, described("The session of the path once more, as the documented calls have it.")] = None
    id: Annotated[
        str | None,
        described("An id of your own, so that a repeat is the same send.", "msg_example_1", pattern=ID_PATTERN),
    ] = None
    ttl_ms: Annotated[
        int | None,
        described(
            "Time to live in ms: then it expires, unless it was delivered. At most ttl_ms_max, 7 days by default.",
            minimum=1,
            maximum=_LARGEST,
        ),
    ] = None
    expires_at: Annotated[
        int | None,
        described(
            "When it expires, in ms since the epoch, unless it was delivered. Not beside ttlMs; at most ttl_ms_max "
            "from now.",
            minimum=1,
            maximum=_LARGEST,
        ),
    ] = None
    attachments: Annotated[
        list[FileBody], described("Files, at most attachments_max, 16 by default. POST /api/blobs uploads one.")
    ] = []
    on_ended: Annotated[
        str | None,
        described(
            "Where the receiver has ended: error (409 RECEIVER_ENDED), queue (the message waits until the session is "
            "started again) or redirect (to its orchestrator; the message then has originalTo). Default: "
            "the broker's setting on_ended, which is error unless set.",
            enum=[*ON_ENDED, None],
        ),
    ] = None


class FanOutBody(SendBody, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A message, to one or to several."""

    to: Annotated[  # type: ignore[assignment]  # here it is required, and may be several
        str | list[str],
        described(
            "A session id, a unique name, `parent`, `operator`, an audience (@all, @workers, @orchestrators, "
            "@project, @project:NAME, @children, @GROUP), or a list of at most 32 of these.",
            ["ann", "bob"],
            "@workers",
        ),
    ]
    # Without an example: those of the page are sent one after the other, and this is another message.
    id: Annotated[
        str | None, described("An id of your own, so that a repeat is the same send.", pattern=ID_PATTERN)
    ] = None
    confirm: Annotated[
        bool, described("Send it although an audience comes to many sessions (409 CONFIRM_FANOUT without it).")
    ] = False


class PreviewBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A message that is not sent yet, without its text."""

    to: Annotated[
        str | list[str],
        described("As in POST /messages.", ["ann", "bob"], "@workers"),
    ]
    metadata: Annotated[
        Metadata, described("As in POST /messages: it decides whether the message wakes an agent.")
    ] = Metadata()
    on_ended: Annotated[str | None, described("As in POST /messages.", enum=[*ON_ENDED, None])] = None


class ReceiptQuery(Struct, frozen=True, kw_only=True):
    """Which part of the receipt."""

    receiver: Annotated[str | None, described("Only the line of this receiver, by its id.")] = None


class StatusBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The new status of a message."""

    status: Annotated[Literal["delivered", "read"], described("`read` implies `delivered`.", "read")]


class InboxQuery(Struct, frozen=True, kw_only=True):
    """Filters of a mailbox."""

    status: Annotated[
        str | None,
        described(
            "One or several, with commas: pending, delivered, read, failed, expired. Default: all.",
            pattern=_listed("pending|delivered|read|failed|expired"),
        ),
    ] = None
    type: Annotated[MessageType | None, described("Only messages of this metadata.type.")] = None
    sender: Annotated[
        str | None, described("Only messages of this sender, by its id or name. Not beside direction=sent.", "ann")
    ] = field(default=None, name="from")
    thread: Annotated[str | None, described("Only messages of this thread, by the id of its first message.")] = None
    direction: Annotated[
        Literal["received", "sent"],
        described(
            "sent: what the session sent, the newest page, as GET /api/messages with box=out; without `since`."
        ),
    ] = "received"
    before: Annotated[
        int | None, described("With direction=sent: from the `Link` of the page before.", minimum=1, maximum=_LARGEST)
    ] = None
    since: Annotated[
        int | None, described("Only messages with a greater `seq`, in that order. Default: high priority first.")
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
    """The page of expired messages."""

    before: Annotated[int | None, described("The `before` of the previous page.", minimum=1, maximum=_LARGEST)] = None
    limit: Annotated[int | None, described("Messages in one answer, at most 100.", minimum=1, maximum=_LARGEST)] = (
        None
    )


class AllDeadQuery(DeadQuery, frozen=True, kw_only=True):
    """The page of dead letters."""

    session: Annotated[
        str | None, described("Only what this session sent. Default: the caller's; for the operator all.")
    ] = None


class RetryQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """How it is sent again."""

    on_ended: Annotated[Literal["error", "queue", "redirect"] | None, described("As in POST /messages.")] = None


class SaidQuery(Struct, frozen=True, kw_only=True):
    """What was said: all given filters must match."""

    peer: Annotated[
        str | None,
        described(
            "The other party: a session's id or unique name, or @ and the name of a group. Default: all that the "
            "caller may see.",
            "bob",
        ),
    ] = field(default=None, name="with")
    session: Annotated[
        str | None,
        described("Whose mail: for `operator`, and for an orchestrator. Default: the caller's; for `operator` all."),
    ] = None
    project: Annotated[
        str | None, described("Only what a session of this project sent or got; its project is the one it is in now.")
    ] = None
    box: Annotated[
        Literal["in", "out"] | None, described("in: only what that session got. out: only what it sent.")
    ] = None
    before: Annotated[
        int | None,
        described("The `before` of the page with newer messages. Default: the newest.", minimum=1, maximum=_LARGEST),
    ] = None
    after: Annotated[
        int | None,
        described(
            "The `upTo` of a page: what was said since then, the oldest first. Not beside `before`.",
            minimum=0,
            maximum=_LARGEST,
        ),
    ] = None
    since: Annotated[int | None, described("Only from this time on, ms since the epoch.")] = None
    until: Annotated[int | None, described("Only before this time, ms since the epoch.")] = None
    limit: Annotated[
        int | None,
        described(
            f"Messages in one answer; at most {_DEFAULTS.reply_messages_max:,}, and "
            f"{_DEFAULTS.reply_bytes_max >> 10} KiB, whichever is less.",
            minimum=1,
            maximum=_LARGEST,
        ),
    ] = None
    counts: Annotated[
        bool, described("Of a message to several sessions, also how many deliveries have each status.")
    ] = False


class SessionBody(Struct, frozen=True, rename="camel", kw_only=True):
    """A session to start. Without `role`, `metadata.mode` or `metadata.role` says it, as documented clients do."""

    id: Annotated[str | None, described("Default: a new id.", "ann", pattern=ID_PATTERN)] = None
    name: Annotated[
        str | None,
        described(
            f"For people, on one line of at most {NAME_CHARS_MAX} characters.", "Ann", maxLength=NAME_CHARS_MAX
        ),
    ] = None
    name_base: Annotated[
        str | None,
        described(
            "Its name if it has none, or the first free of `NAME-2`, `NAME-3` and so on. Without `name`.",
            maxLength=NAME_CHARS_MAX,
        ),
    ] = None
    role: Annotated[
        Role | None,
        described("Default: worker, or what it was before. A worker can't start an orchestrator.", "worker"),
    ] = None
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
        described("A secret of your own: from now on every request of the session needs it.", maxLength=256),
    ] = None
    agent: Annotated[str | None, described("The kind of agent.", maxLength=64)] = None
    agent_session_id: Annotated[str | None, described("The agent's own id of the session.", maxLength=128)] = None
    pid: Annotated[int | None, described("Its process.")] = None
    cwd: Annotated[str | None, described("Its directory.", maxLength=CWD_CHARS_MAX)] = None
    takeover: Annotated[
        bool, described("The operator continues the session with this id, with the given token in place of its own.")
    ] = False
    replace: Annotated[bool, described("End the active session that has this name or id, and take its place.")] = (
        False
    )


class SessionPatch(Struct, frozen=True, rename="camel", kw_only=True):
    """The changes of a session; an absent field stays as it is."""

    status: Annotated[
        SessionStatus | None,
        described("An ended status ends the session; an active one starts an ended session again.", "working"),
    ] = None
    completed_at: Annotated[int | None, described("Ends the session; the broker sets the time itself.")] = None
    name: Annotated[str | None, described("Its new name.", "Bob", maxLength=NAME_CHARS_MAX)] = None
    needs_input: Annotated[NeedsInput | None, described("Whether it waits for a person.")] = None
    task_ids: Annotated[list[str] | None, described("At most 256.", maxItems=_DEFAULTS.batch_messages_max)] = None
    timeline: Annotated[
        list[SessionNote] | None, described("The whole timeline as the client knows it: its new lines are added.")
    ] = None


class SessionsQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """Filters; a listed session matches all of them."""

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
    limit: Annotated[
        int | None,
        described(
            f"The most sessions of the answer. Default: {_DEFAULTS.sessions_reply_max:,}. While there are more, the "
            "answer has a header `Link` with the address of the next page.",
            minimum=1,
        ),
    ] = None
    after: Annotated[str | None, described("From the `Link` of the page before.")] = None


class PresenceQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """Of which sessions; default: all active ones."""

    project_id: Annotated[str | None, described("Only of this project.")] = None
    session: Annotated[
        str | None, described("Only this one, by id or unique name, also where it has ended.", "ann")
    ] = None
    limit: Annotated[int | None, described("As of the list of sessions.", minimum=1)] = None
    after: Annotated[str | None, described("From the `Link` of the page before.")] = None


class SiblingsQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """The page."""

    limit: Annotated[int | None, described("As of the list of sessions.", minimum=1)] = None
    after: Annotated[str | None, described("From the `Link` of the page before.")] = None


class NoteBody(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A line for a session's own timeline."""

    type: Annotated[str, described("A word of your own.", "progress", minLength=1, maxLength=64)]
    message: Annotated[str, described("What happened.", "Half of it is done.", minLength=1)]
    timestamp: Annotated[int, described("When, ms. Default: now.")] = 0
    id: Annotated[
        str | None,
        described("An id of your own, so that a repeat adds no second line. Default: a new id.", pattern=ID_PATTERN),
    ] = None
    metadata: Annotated[
        dict[str, Any] | None, described(f"Any object, at most {NOTE_METADATA_BYTES_MAX:,} bytes of JSON.")
    ] = None


class PromptBody(Struct, frozen=True, rename="camel", kw_only=True):
    """The documented prompt."""

    content: Annotated[str, described("The text.", "Look at the failing test.", minLength=1)]
    mode: Annotated[
        str | None, described("paste or send, which is about a terminal: kept in metadata.data, without effect.")
    ] = None
    sender_session_id: Annotated[str | None, described("The session that asks. Default: X-Session-ID.", "ann")] = None


class MailBody(Struct, frozen=True, rename="camel", kw_only=True):
    """The documented mail: a short message, and a longer text where needed."""

    message: Annotated[str, described("The short form.", "The build is green.", minLength=1)]
    from_session_id: Annotated[str | None, described("The session that asks. Default: X-Session-ID.", "ann")] = None
    from_name: Annotated[str | None, described("Default: the session's name.")] = None
    detail: Annotated[str | None, described("The long form.")] = None
