"""Older routes: the calls of the programs that Maestro shipped before.

Rule: as `routes`, which has these rows too.
"""

from __future__ import annotations

from .api import answers, bodies
from .api.older import legacy, mail, mail_bodies
from .http.routing import Endpoint
from .route_codes import FAN_OUT_CODES, SEND_CODES

OLDER_CALLS = (
    Endpoint(
        "POST",
        "/sessions/{session}/prompt",
        legacy.prompt,
        "Say something to a session, as the older clients do.",
        {200: answers.Success},
        SEND_CODES,
        body=bodies.PromptBody,
        tag="older clients",
    ),
    Endpoint(
        "POST",
        "/sessions/{session}/mail",
        legacy.mail,
        "Send mail, as the older clients do.",
        {200: answers.Success},
        SEND_CODES,
        body=bodies.MailBody,
        tag="older clients",
    ),
    Endpoint(
        "GET",
        "/sessions/{session}/mail",
        legacy.unread,
        "The unread mail, as the older clients read it; it counts as read once the client has the answer.",
        {200: list[answers.MailShown]},
        ("SESSION_NOT_FOUND", "FORBIDDEN"),
        tag="older clients",
        changes=True,
    ),
    Endpoint(
        "POST",
        "/mail",
        mail.send,
        "Send a mail, as the clients of Maestro's mail generation do.",
        {201: (mail_bodies.Letter, list[mail_bodies.Letter])},
        FAN_OUT_CODES,
        body=mail_bodies.LetterBody,
        tag="older clients",
        lists_faults=True,
    ),
    Endpoint(
        "GET",
        "/mail/inbox/{session}",
        mail.inbox,
        "A session's mail, by priority, then the newest first; new mail counts as delivered by this.",
        {200: list[mail_bodies.Letter]},
        ("SESSION_NOT_FOUND", "AMBIGUOUS_NAME", "FORBIDDEN"),
        query=mail_bodies.LettersQuery,
        tag="older clients",
        changes=True,
        lists_faults=True,
    ),
    Endpoint(
        "GET",
        "/mail/wait/{session}",
        mail.wait,
        "New mail as soon as there is some, else an empty list; it counts as delivered by this.",
        {200: list[mail_bodies.Letter]},
        ("SESSION_NOT_FOUND", "AMBIGUOUS_NAME", "FORBIDDEN", "BUSY"),
        query=mail_bodies.LettersWaitQuery,
        tag="older clients",
        changes=True,
        lists_faults=True,
    ),
    Endpoint(
        "GET",
        "/mail/thread/{message}",
        mail.thread,
        "The mail of one thread, the oldest first.",
        {200: list[mail_bodies.Letter]},
        ("MESSAGE_NOT_FOUND", "AMBIGUOUS_ID"),
        tag="older clients",
    ),
    Endpoint(
        "GET",
        "/mail/{message}",
        mail.one,
        "One mail.",
        {200: mail_bodies.Letter},
        ("MESSAGE_NOT_FOUND", "AMBIGUOUS_ID"),
        tag="older clients",
    ),
    Endpoint(
        "DELETE",
        "/mail/{message}",
        mail.delete,
        "Delete a mail from its receiver's mailbox.",
        {200: mail_bodies.LetterDeleted},
        ("MESSAGE_NOT_FOUND", "AMBIGUOUS_ID", "FORBIDDEN"),
        tag="older clients",
    ),
)
