"""Names: the ids of messages, sessions and tasks.

Rule: an id is used as a file name, a topic and a shell argument, so its characters are special in none of them. Time
and randomness are arguments; no function here reads a clock.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterable

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
ID_CHARS_MAX = 64

# Sender of the broker's own messages (such as a refused outbox entry). No session may have this id.
SYSTEM_SENDER = "maestro"
# Also reserved: `--to parent` and `--to last` are addresses, and `operator` is the built-in session of the person.
PARENT_ADDRESS = "parent"
LAST_ADDRESS = "last"
OPERATOR = "operator"
RESERVED_IDS = frozenset({SYSTEM_SENDER, PARENT_ADDRESS, LAST_ADDRESS, OPERATOR})
# Addresses of several sessions begin with it, so no id and no name does.
AUDIENCE_SIGIL = "@"
# The words that mean something else behind the sigil, or as an address; no group has one of these names.
AUDIENCE_WORDS = frozenset({"all", "workers", "orchestrators", "project", "children"})
GROUP_NAME_CHARS_MAX = 32

DEFAULT_PROJECT = "default"
# The operator's: no session can have it.
NO_PROJECT = ""

# A message's id is its sender's key, `_`, and its sender's mark.
MARK_DIGITS = 7
KEY_CHARS_MAX = ID_CHARS_MAX - 1 - MARK_DIGITS
# The mark of no session: for answers whose thread had several possible owners before ids had marks.
NO_MARK = "0" * MARK_DIGITS

# The least number of random digits in a short id.
SHORT_CHARS_MIN = 4
# Commands look no shorter text up: it would mean too many messages.
LOOKED_UP_CHARS_MIN = 3
# A longer key was made by a program, so its beginning will do.
_SPOKEN_CHARS_MAX = 40

_TIME_DIGITS_MAX = 15
# Without and with a mark.
_MESSAGE_ID_PARTS = (3, 4)
_HASHED_KEY_DIGITS = 40
# For a Latin letter, small letters of other scripts that look like it, or whose capitals look like its capital.
_LOOK_ALIKES = {
    "a": "\u0430\u03b1\u0251",
    "b": "\u0432\u03b2",
    "c": "\u0441",
    "d": "\u0501",
    "e": "\u0435\u03b5",
    "g": "\u0261",
    "h": "\u043d\u04bb",
    "i": "\u0456\u03b9\u0131",
    "j": "\u0458",
    "k": "\u043a\u03ba",
    "l": "\u04cf",
    "m": "\u043c\u03bc",
    "n": "\u03b7\u0578",
    "o": "\u043e\u03bf\u0585",
    "p": "\u0440\u03c1",
    "q": "\u051b",
    "r": "\u0433",
    "s": "\u0455",
    "t": "\u0442\u03c4",
    "u": "\u03c5\u057d",
    "v": "\u03bd",
    "w": "\u051d\u03c9",
    "x": "\u0445\u03c7",
    "y": "\u0443",
}
# Joiners and variation selectors, which change how a letter is drawn.
_JOINERS = (0x200C, 0x200D, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10))
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [high + low for high in _BASE36 for low in _BASE36]
_SUFFIX_DIGITS = 9
_SUFFIXES = 36**_SUFFIX_DIGITS


def is_id(text: str) -> bool:
    """Whether `text` can be an id: 1 to 64 of A-Z a-z 0-9 _ and -."""
    # ID_PATTERN without `re`, whose import costs a fast command 6 ms; a test compares both. Most ids are identifiers,
    # which is checked in half the time.
    return (
        text.isascii()
        and len(text) <= ID_CHARS_MAX
        and (text.isidentifier() or text.replace("_", "a").replace("-", "a").isalnum())
    )


def is_new_session_id(text: str) -> bool:
    """Whether a new session may have this id: it begins with a letter or a digit, so that no command takes it for an
    option, and it is not reserved. (Ids of an earlier version may begin with `-` or `_`.)"""
    return is_id(text) and text[0].isalnum() and not is_reserved(text)


def is_reserved(text: str) -> bool:
    """Whether a text is, or looks like, an address that means something else than a session's id or name."""
    alike = likeness(text)
    return alike.startswith(AUDIENCE_SIGIL) or alike in RESERVED_IDS


def is_group_name(text: str) -> bool:
    """Whether a group may have this name: 1 to 32 of a-z 0-9 and -, which no address has already. It begins with a
    letter or a digit."""
    return (
        len(text) <= GROUP_NAME_CHARS_MAX
        and text.isascii()
        and text == text.lower()
        and text.replace("-", "a").isalnum()
        and text[0] != "-"
        and text not in AUDIENCE_WORDS
        and text not in RESERVED_IDS
    )


def group_of(address: str) -> str | None:
    """The group that an address means; None for every other address."""
    name = address.removeprefix(AUDIENCE_SIGIL)
    return name if name != address and is_group_name(name) else None


def plain_name(text: str) -> str:
    """A name as it is stored and compared: in Unicode's form NFC, without blanks at its ends."""
    if not text.isascii():
        # Imported here because an ordinary send does not need it.
        import unicodedata

        text = unicodedata.normalize("NFC", text)
    return text.strip()


def likeness(text: str) -> str:
    """What a name looks like to a reader: names with the same likeness are one name.

    Case and compatibility forms are folded, and letters of other scripts become the Latin letters that they look
    like. The table has the letters that are the same in common fonts, not all of Unicode's confusables.
    """
    if text.isascii():
        return text.strip().lower()
    # Imported here because an ordinary send does not need it.
    import unicodedata

    folded = unicodedata.normalize("NFKC", text).strip().casefold()
    letters = {ord(other): letter for letter, others in _LOOK_ALIKES.items() for other in others}
    return folded.translate({**letters, **dict.fromkeys(_JOINERS)})


def message_id(now_ms: int, entropy: int) -> str:
    """`msg_<milliseconds>_<9 base36 digits>`; `entropy` is any non-negative integer."""
    return f"msg_{now_ms}_{_base36(entropy)}"


def session_id(now_ms: int, entropy: int) -> str:
    """`sess_<milliseconds>_<9 base36 digits>`."""
    return f"sess_{now_ms}_{_base36(entropy)}"


def event_id(now_ms: int, entropy: int) -> str:
    """`evt_<milliseconds>_<9 base36 digits>`."""
    return f"evt_{now_ms}_{_base36(entropy)}"


def retry_id(message_id: str, at_ms: int) -> str:
    """The id under which a dead message is sent again. It follows from the old id, so that a repeated retry is the
    same send. `at_ms` is a time of the old message that never changes; ids sort by it."""
    # Imported here because an ordinary send does not need it.
    import hashlib

    return f"msg_{at_ms}_{_base36(int.from_bytes(hashlib.sha256(message_id.encode()).digest()[:8], 'big'))}"


def mark_of(session: str, salt: int = 0) -> str:
    """The mark of a session: 7 base36 digits that every id of its messages ends with.

    It is no secret: the broker compares it with the authenticated sender, so a computed mark gives no right. Where
    another session already has the mark, the broker takes the first free `salt` from 1 on (decision 22).
    """
    # Imported here because an ordinary send does not need it.
    import hashlib

    digest = hashlib.blake2b(session.encode(), digest_size=8, salt=str(salt).encode() if salt else b"").digest()
    return _base36(int.from_bytes(digest, "big"))[-MARK_DIGITS:]


def canonical_id(key: str, mark: str) -> str:
    """The id of the message that the owner of `mark` sends under `key`; of a canonical id, that id itself."""
    if key.endswith(mark) and key[:-MARK_DIGITS].endswith("_"):
        return key
    if len(key) <= KEY_CHARS_MAX:
        return f"{key}_{mark}"
    return f"k_{key_digest(key)}_{mark}"


def key_digest(key: str) -> str:
    """40 hex digits that stand for a longer key."""
    # Imported here because an ordinary send does not need it.
    import hashlib

    return hashlib.sha256(key.encode()).hexdigest()[:_HASHED_KEY_DIGITS]


def ending_of(message_id: str) -> str | None:
    """The mark that an id ends with, if it has the form of one."""
    ending = message_id[-MARK_DIGITS - 1 :]
    if len(ending) != MARK_DIGITS + 1 or ending[0] != "_":
        return None
    mark = ending[1:]
    return mark if mark.isascii() and mark.isalnum() and mark == mark.lower() else None


def message_time_ms(message_id: str) -> int:
    """The milliseconds in an id that `message_id` made, with or without a mark; -1 for any other id."""
    parts = message_id.split("_")
    if len(parts) not in _MESSAGE_ID_PARTS or parts[0] != "msg":
        return -1
    digits = parts[1]
    return int(digits) if len(digits) <= _TIME_DIGITS_MAX and digits.isascii() and digits.isdecimal() else -1


def own_part(message_id: str) -> str:
    """What tells a message from others at its sender: the random digits of an id that `message_id` made, or the key
    that the sender chose."""
    if message_time_ms(message_id) >= 0:
        digits = message_id.split("_")[2]
        if len(digits) == _SUFFIX_DIGITS:
            return digits
    return message_id if ending_of(message_id) is None else message_id[: -MARK_DIGITS - 1]


def id_begins(message_id: str, beginning: str) -> bool:
    """Whether an id is one that `beginning` may mean: it begins so, or its own part does."""
    return message_id.startswith(beginning) or own_part(message_id).startswith(beginning)


def needs_look_up(text: str) -> bool:
    """Whether a text is the beginning of an id and no whole one, which costs no request."""
    return len(text) >= LOOKED_UP_CHARS_MIN and ending_of(text) is None


def short_id(message_id: str, others: Iterable[str] = (), chars_min: int = SHORT_CHARS_MIN) -> str:
    """The first characters of an id's own part, as many as it takes that none of the others begins so; a key that a
    person chose, whole; or the id itself, where no beginning means it alone."""
    part = own_part(message_id)
    is_key = message_id.startswith(part) and len(part) <= _SPOKEN_CHARS_MAX
    for length in range(len(part) if is_key else chars_min, len(part) + 1):
        short = part[:length]
        if short != LAST_ADDRESS and needs_look_up(short) and not any(id_begins(each, short) for each in others):
            return short
    return message_id


def _base36(entropy: int) -> str:
    rest, last = divmod(entropy % _SUFFIXES, 36)
    # Two digits at a time: nine divisions were a sixth of a client's work for a send.
    rest, fourth = divmod(rest, 1296)
    rest, third = divmod(rest, 1296)
    first, second = divmod(rest, 1296)
    return f"{_PAIRS[first]}{_PAIRS[second]}{_PAIRS[third]}{_PAIRS[fourth]}{_BASE36[last]}"
