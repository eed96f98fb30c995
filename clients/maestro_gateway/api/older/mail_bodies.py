"""Mail bodies: the fields of the calls below /api/mail, and a mail as these clients read it.

Rule: open, as a session's body is: these clients send more fields than they need.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from maestro_gateway.api.bodies import described
from maestro_schemas.names import ID_PATTERN

MailType = Literal["assignment", "status_update", "query", "response", "directive", "notification"]
MailPriority = Literal["critical", "high", "normal", "low"]
MailScope = Literal["all", "my-workers", "team"]

WAIT_MS: Final = 30_000
WAIT_MS_MIN: Final = 1_000
WAIT_MS_MAX: Final = 120_000


class LetterBody(Struct, frozen=True, rename="camel", kw_only=True):
    """A mail: to a session, to a team member, or, with neither, to many."""

    type: Annotated[MailType, described("What it is for.", "query")]
    subject: Annotated[str, described("The first line.", "Which port?", minLength=1)]
    body: Annotated[
        dict[str, Any] | None,
        described(
            "The text stands under `instructions` (assignment), `question` (query), `answer` (response), `details` "
            "(directive), else `message`; any further fields beside it are kept.",
            {"question": "Which port does the test server take?"},
        ),
    ] = None
    id: Annotated[
        str | None,
        described("An id of your own, so that a repeat is the same mail.", "msg_example_2", pattern=ID_PATTERN),
    ] = None
    from_session_id: Annotated[str | None, described("The session that asks. Default: X-Session-ID.", "ann")] = None
    to_session_id: Annotated[str | None, described("The receiver.", "bob")] = None
    to_team_member_id: Annotated[
        str | None, described("Every active session with this `metadata.teamMemberId`, in place of toSessionId.")
    ] = None
    scope: Annotated[
        MailScope | None,
        described(
            "Without a receiver. all (the default): the sessions of the project. my-workers: those that the sender "
            "started. team: the other sessions of the sender's parent."
        ),
    ] = None
    reply_to_mail_id: Annotated[str | None, described("The mail that this one answers.")] = None
    priority: Annotated[MailPriority | None, described("Default: normal.")] = None
    project_id: Annotated[str | None, described("The sender's project. Kept, and with scope `all` the project.")] = (
        None
    )


class LettersQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """Which mail of the inbox."""

    project_id: Annotated[str | None, described("Without effect: a session has one mailbox.")] = None
    type: Annotated[MailType | None, described("Only of this type.")] = None
    since: Annotated[int | None, described("Only mail of a later time, ms since the epoch.")] = None


class LettersWaitQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """How long to wait, and for what."""

    project_id: Annotated[str | None, described("Without effect: a session has one mailbox.")] = None
    timeout: Annotated[
        int,
        Meta(ge=WAIT_MS_MIN, le=WAIT_MS_MAX),
        described("How long, ms. Then the answer is an empty list.", WAIT_MS_MIN),
    ] = WAIT_MS
    since: Annotated[
        int | None,
        described("Mail of a later time, ms since the epoch, also what was shown before. Default: new mail."),
    ] = None


class Letter(Struct, frozen=True, rename="camel", kw_only=True):
    """A mail."""

    id: str
    project_id: str
    from_session_id: str
    # Absent of a mail to the whole project, which is one for its sender.
    to_session_id: str | None
    reply_to_mail_id: str | None
    type: MailType
    subject: str
    body: dict[str, Any]
    created_at: int
    # The id of the thread's first mail; of a new mail its own.
    thread_id: str
    priority: MailPriority | UnsetType = UNSET


class LetterDeleted(Struct, frozen=True, kw_only=True):
    """The mail is gone."""

    deleted: Literal[True]
    id: str
