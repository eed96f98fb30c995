"""Table: every call of the gateway, one row each.

Rule: what stands here is routed and documented; nothing else is.
"""

from __future__ import annotations

from typing import Any

from maestro_schemas.messages import Message

from . import messages, operations, sessions, shapes, stream
from .endpoints import Endpoint

CALLS = (
    Endpoint(
        "POST",
        "/sessions/{receiver}/messages",
        messages.send,
        "Send a message; 201 means that it is on disk.",
        {201: Message},
        (
            "NO_SESSION",
            "UNKNOWN_SESSION",
            "SESSION_ENDED",
            "ROLE_FORBIDDEN",
            "RECEIVER_NOT_FOUND",
            "RECEIVER_ENDED",
            "AMBIGUOUS_NAME",
            "CONFLICT",
            "EMPTY_MESSAGE",
            "TEXT_TOO_LONG",
            "DATA_TOO_LARGE",
            "RATE_LIMITED",
            "MAILBOX_FULL",
            "BUSY",
            "STORAGE_FULL",
        ),
        body=shapes.SendBody,
    ),
    Endpoint(
        "GET",
        "/sessions/{session}/messages",
        messages.inbox,
        "A page of a mailbox; changes nothing.",
        {200: shapes.InboxPage},
        ("SESSION_NOT_FOUND", "FORBIDDEN"),
        query=shapes.InboxQuery,
    ),
    Endpoint(
        "GET",
        "/sessions/{session}/messages/stream",
        stream.stream,
        "A session's events as they happen, as server-sent events; `Last-Event-ID` or `?since=` resumes.",
        {200: stream.MEDIA_TYPE},
        ("FORBIDDEN", "CURSOR_EXPIRED", "CURSOR_AHEAD"),
    ),
    Endpoint("GET", "/messages/{message}", messages.one, "One message.", {200: Message}, ("MESSAGE_NOT_FOUND",)),
    Endpoint(
        "PATCH",
        "/messages/{message}",
        messages.step,
        "Say that a message was delivered or read.",
        {200: shapes.StepDone},
        ("MESSAGE_NOT_FOUND", "FORBIDDEN", "STATUS_CONFLICT"),
        body=shapes.StatusBody,
    ),
    Endpoint(
        "DELETE",
        "/messages/{message}",
        messages.delete,
        "Delete a message from its receiver's mailbox.",
        {204: None},
        ("MESSAGE_NOT_FOUND", "FORBIDDEN"),
    ),
    Endpoint(
        "POST",
        "/sessions",
        sessions.start,
        "Start a session, or start it again.",
        {201: shapes.SessionShown},
        ("INVALID_ID", "ROLE_FORBIDDEN", "FORBIDDEN", "TOO_MANY"),
        body=shapes.SessionBody,
        tag="sessions",
    ),
    Endpoint(
        "GET",
        "/sessions",
        sessions.listed,
        "The sessions that fit every filter, the newest last.",
        {200: list[shapes.SessionShown]},
        query=shapes.SessionsQuery,
        tag="sessions",
    ),
    Endpoint(
        "GET",
        "/sessions/{session}",
        sessions.one,
        "One session, by id or by unique name.",
        {200: shapes.SessionShown},
        ("SESSION_NOT_FOUND", "AMBIGUOUS_NAME"),
        tag="sessions",
    ),
    Endpoint(
        "PATCH",
        "/sessions/{session}",
        sessions.change,
        "Change a session, or end it.",
        {200: shapes.SessionShown},
        ("SESSION_NOT_FOUND", "SESSION_ENDED", "FORBIDDEN"),
        body=shapes.SessionPatch,
        tag="sessions",
    ),
    Endpoint(
        "GET",
        "/sessions/{session}/siblings",
        sessions.siblings,
        "The other sessions of the same parent.",
        {200: list[shapes.SessionShown]},
        ("SESSION_NOT_FOUND",),
        tag="sessions",
    ),
    Endpoint(
        "POST",
        "/sessions/{session}/timeline",
        sessions.note,
        "Add a line to a session's own timeline.",
        {201: shapes.SessionShown},
        ("SESSION_NOT_FOUND", "SESSION_ENDED", "FORBIDDEN"),
        body=shapes.NoteBody,
        tag="sessions",
    ),
    Endpoint(
        "GET",
        "/health",
        operations.health,
        "Whether the gateway lives, and whether the broker answers.",
        {200: dict[str, Any], 503: dict[str, Any]},
        versioned=False,
        tag="operations",
    ),
    Endpoint(
        "GET",
        "/health/live",
        operations.live,
        "Whether the gateway lives.",
        {200: dict[str, Any]},
        versioned=False,
        tag="operations",
    ),
)
