"""Error docs: when each error comes over HTTP, and what to do about it.

Rule: a sentence each, for a reader who has only HTTP. Every code that a call may return is here.
"""

from __future__ import annotations

from typing import NamedTuple


class ErrorGuide(NamedTuple):
    """An error in words."""

    # When it comes.
    when: str
    # What to do.
    step: str


_START = "Start it with POST /api/sessions."
_LATER = "Send the same again after retryAfter seconds; under the same id or Idempotency-Key that is safe."

REMEDIES = {
    "BAD_REQUEST": ErrorGuide(
        "The body is no JSON, or the path or a header has a character that is not allowed.",
        "Send one JSON object in UTF-8; percent-encode paths as UTF-8.",
    ),
    "INVALID": ErrorGuide(
        "A field is unknown, of a wrong type, or has no allowed value.", "The message names the field; correct it."
    ),
    "INVALID_QUERY": ErrorGuide(
        "A search has an operator or a value that there is not.",
        "details.nearest has the nearest operator; GET /api/search/operators lists all.",
    ),
    "VALIDATION_ERROR": ErrorGuide(
        "A field of the mail is missing, of a wrong type, or has no allowed value.",
        "details lists each field as path with its message; correct them.",
    ),
    "INVALID_ID": ErrorGuide(
        "An id has other characters than A-Z a-z 0-9 _ -, more than 64, or is reserved.", "Choose another."
    ),
    "EMPTY_MESSAGE": ErrorGuide("Nothing is left of the text.", "Send some text."),
    "TEXT_TOO_LONG": ErrorGuide(
        "The text has more characters than the limit.", "Put the long part into a file and send its path."
    ),
    "DATA_TOO_LARGE": ErrorGuide(
        "metadata, or metadata.data, is larger than its limit.", "Put it into a file and send the path."
    ),
    "BLOB_NOT_FOUND": ErrorGuide(
        "A file that the message names is not there. Of a send, details.digests says which.",
        "PUT /api/blobs/:sha256 uploads one; then send the same again.",
    ),
    "BLOB_MISMATCH": ErrorGuide(
        "The content of a file has another digest or size than was said.",
        "Upload the file again, from its beginning.",
    ),
    "ATTACHMENT_TOO_LARGE": ErrorGuide(
        "A file, or all files of a message together, are over the limit; the error has both numbers.",
        "Send less, or the path of a file that the receiver can read itself.",
    ),
    "TOO_MANY": ErrorGuide(
        "More items or receivers than one request may have, or more sessions, groups or members than the post office "
        "takes.",
        "Send fewer; end sessions and delete groups that are done.",
    ),
    "FRAME_TOO_LARGE": ErrorGuide("The body is larger than the broker takes.", "Send less at a time."),
    "UNSUPPORTED_MEDIA_TYPE": ErrorGuide("The body is not said to be JSON.", "Send Content-Type: application/json."),
    "NOT_FOUND": ErrorGuide("There is no such path.", "This page lists every path."),
    "METHOD_NOT_ALLOWED": ErrorGuide("The path does not take that method.", "The header Allow says which it takes."),
    "NO_SESSION": ErrorGuide("The call needs a session, and none was named.", "Send X-Session-ID."),
    "UNKNOWN_SESSION": ErrorGuide("The session that asks was never started here.", _START),
    "SESSION_ENDED": ErrorGuide("The session has ended.", "POST /api/sessions with the same id starts it again."),
    "TOKEN_REQUIRED": ErrorGuide(
        "The session was started with a token, and none was given.", "Send Authorization: Bearer and the token."
    ),
    "TOKEN_MISMATCH": ErrorGuide("That is not the session's token.", "Send the one with which it was started."),
    "LOGIN_REQUIRED": ErrorGuide(
        "The page has no login, or one that has ended, and the kernel does not vouch for its browser.",
        "Open the page from the gateway's machine: that makes a code for it.",
    ),
    "LOGIN_REFUSED": ErrorGuide(
        "The code was used before, is older than a minute, or was never made.",
        "Open the page from the gateway's machine once more: that makes a new code.",
    ),
    "VIEW_ONLY": ErrorGuide(
        "The login may only show, and the call changes something.",
        "Open the page from the gateway's machine, with all rights.",
    ),
    "FORBIDDEN": ErrorGuide(
        "It is another session's to read or change, or the operator's.", "Send the X-Session-ID of its owner."
    ),
    "ROLE_FORBIDDEN": ErrorGuide(
        "A worker wrote to a worker of another project, or would start an orchestrator.", "Ask an orchestrator."
    ),
    "NO_RECEIVERS": ErrorGuide(
        "The addresses come to no session but the sender.", "GET /api/sessions?active=true lists those that are here."
    ),
    "GROUP_NOT_FOUND": ErrorGuide("There is no such group.", "GET /api/groups lists them."),
    "CONFIRM_FANOUT": ErrorGuide(
        "An audience comes to more sessions than one may address unawares; nothing was sent. details.receivers has "
        "them.",
        'Send it again with "confirm": true, or name those whom it concerns.',
    ),
    "RECEIVER_NOT_FOUND": ErrorGuide(
        "No session has that id or name.", "GET /api/sessions?active=true lists the active sessions."
    ),
    "SESSION_NOT_FOUND": ErrorGuide("No session has that id or name.", "GET /api/sessions lists all of them."),
    "MESSAGE_NOT_FOUND": ErrorGuide(
        "There is no such message, or it is not for the session that asks.", "The mailbox lists its messages."
    ),
    "NAME_TAKEN": ErrorGuide(
        "Another active session has the name or id; details.id says which one.",
        "Choose another, or give `replace` or `takeover` as the operator.",
    ),
    "AMBIGUOUS_NAME": ErrorGuide("Several active sessions have that name.", "Use one of the ids in details.ids."),
    "AMBIGUOUS_ID": ErrorGuide(
        "The message went to several receivers, and none was named.", "Send the X-Session-ID of one of them."
    ),
    "CONFLICT": ErrorGuide(
        "The id or key was used for another message, or the name is another group's.",
        "Use a new one; a repeat must have the same content.",
    ),
    "RECEIVER_ENDED": ErrorGuide("The receiver has ended and will not read it.", "Write to another session."),
    "STATUS_CONFLICT": ErrorGuide("The message has failed or expired.", "Nothing can be done."),
    "CURSOR_EXPIRED": ErrorGuide(
        "The events after that LSN are no longer complete.", "Read the mailbox, then follow from details.oldest."
    ),
    "CURSOR_AHEAD": ErrorGuide(
        "That LSN does not exist yet.", "Follow without a cursor; the post office is another one."
    ),
    "RATE_LIMITED": ErrorGuide(
        "The session has sent as many messages in the last minute as it may, or changed as often.",
        "Wait for retryAfter seconds, or put several points into one message.",
    ),
    "LOOP_GUARD": ErrorGuide(
        "Two sessions write to each other so often that it looks like a loop.",
        "Wait for retryAfter seconds, and write only what needs an answer.",
    ),
    "MAILBOX_FULL": ErrorGuide("The receiver has too much unread mail.", _LATER),
    "BUSY": ErrorGuide("The broker's disk is behind.", _LATER),
    "INDEX_UNAVAILABLE": ErrorGuide("The process of the search index does not answer now.", _LATER),
    "STORAGE_FULL": ErrorGuide(
        "The broker's disk is full; reading goes on.", "Free some space, and " + _LATER.lower()
    ),
    "STOPPING": ErrorGuide("The broker is stopping.", _LATER),
    "BROKER_UNREACHABLE": ErrorGuide("The broker is away for a moment.", _LATER),
    "TIMEOUT": ErrorGuide("The broker has not answered in time; the request may have been done.", _LATER),
    "HOST_REFUSED": ErrorGuide("The header Host names another machine.", "Use the address in the file server-url."),
    "ORIGIN_REFUSED": ErrorGuide(
        "A web page of another origin sent the request.",
        "Programs send no Origin. The gateway's setting `origins` names the other pages that may use it.",
    ),
    "PEER_REFUSED": ErrorGuide(
        "Another user of the machine sent the request.", "Each user runs a post office of their own."
    ),
    "HEAD_TOO_LARGE": ErrorGuide("The head of the request is over its limit.", "Send fewer and shorter headers."),
    "REQUEST_TIMEOUT": ErrorGuide("The body did not come in time.", "Send it without pauses."),
    "CORRUPT": ErrorGuide(
        "A file of the post office is damaged.", "Its log on the machine where it runs says which."
    ),
    "INTERNAL": ErrorGuide("A fault of the post office.", "Its log on the machine where it runs says why."),
}
