"""Places: what is at a path, private directories, and files that are opened without waiting.

Rule: where a path is not what it must be, the error has the path, what is there, what it should be, and the repair. A
FIFO is never waited for. A quick command imports this module, so it imports nothing but `os`, `stat` and `errno`.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Final

    from maestro_schemas.errors import MaestroError

FILE: Final = "a file"
DIRECTORY: Final = "a directory"

_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700
# Nearly all files are shorter than the first.
_CHUNK = 1 << 16
_LARGE_CHUNK = 1 << 20
# Errors that say that something stands in a place that is for something else.
_WRONG_KIND = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENXIO, errno.ELOOP, errno.ENOTEMPTY)
_REFUSED = (errno.EACCES, errno.EPERM)


class MisplacedError(OSError):
    """At `filename` is something of another kind than the caller needs."""

    def __init__(self, path: str, found: str, wanted: str) -> None:
        super().__init__(errno.EINVAL, f"it is {found}, and must be {wanted}", path)
        self.found = found
        self.wanted = wanted


# --- opening -----------------------------------------------------------------------------------------------


def open_file(path: str, flags: int, mode: int = _PRIVATE_FILE) -> int:
    """As os.open, for regular files alone; the descriptor is not inherited. Raises MisplacedError, or OSError."""
    try:
        # O_NONBLOCK: a FIFO without a peer would be waited for. It means nothing to a regular file.
        fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, mode)
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.ENXIO):
            raise MisplacedError(path, _kind(os.stat(path).st_mode), FILE) from None
        raise
    found = os.fstat(fd).st_mode
    if not stat.S_ISREG(found):
        os.close(fd)
        raise MisplacedError(path, _kind(found), FILE)
    return fd


def read(path: str, bytes_max: int) -> bytes:
    """The first `bytes_max` bytes of a regular file. Raises as `open_file`."""
    fd = open_file(path, os.O_RDONLY)
    parts: list[bytes] = []
    left, chunk = bytes_max, _CHUNK
    try:
        while left and (part := os.read(fd, min(left, chunk))):
            parts.append(part)
            left, chunk = left - len(part), _LARGE_CHUNK
    except OSError as error:
        error.filename = error.filename or path
        raise
    finally:
        os.close(fd)
    return b"".join(parts)


def make_directory(path: str) -> None:
    """Make a directory, and those above it, where they are missing; each is 0700, whatever the umask.

    os.makedirs gives the mode to the last one alone. Raises MisplacedError, or OSError; FileNotFoundError also where
    another process removes the directory meanwhile.
    """
    try:
        os.mkdir(path, _PRIVATE_DIRECTORY)
        # The umask may have taken away this user's own rights.
        os.chmod(path, _PRIVATE_DIRECTORY)
    except FileNotFoundError:
        above = os.path.dirname(path)
        if above in ("", path) or os.path.isdir(above):
            raise
        make_directory(above)
        make_directory(path)
    except OSError as error:
        if os.path.isdir(path):
            return
        if error.errno == errno.EEXIST:
            raise MisplacedError(path, kind_at(path), DIRECTORY) from None
        raise


def current_directory() -> str | None:
    """The directory of this process; None if it was removed, or can't be named."""
    try:
        return os.getcwd()
    except OSError:
        return None


# --- words -------------------------------------------------------------------------------------------------


def shown(path: str) -> str:
    """The path on one line, with each byte that is no UTF-8, and each character that can't be seen, as an escape: for
    the wire, for JSON and for people."""
    if path.isascii() and path.isprintable():
        return path
    return "".join(one if _is_seen(one) else _escape(one) for one in path)


def label(path: str | None) -> str | None:
    """A directory as a session's `cwd`, which is only information: escaped; None where it is not known, or longer
    than a broker accepts."""
    from maestro_schemas.limits import CWD_CHARS_MAX

    text = shown(path) if path is not None else ""
    return text if 0 < len(text) <= CWD_CHARS_MAX else None


def quoted(path: str) -> str:
    """The path as a word of a command that is shown to people."""
    import shlex

    return shlex.quote(shown(path))


def is_below(path: str, directory: str) -> bool:
    """Whether the path is in the directory, or in one below it, by its text."""
    return f"{path}/".startswith(f"{directory.rstrip('/')}/")


def kind_at(path: str) -> str:
    """What stands at a path, such as `a FIFO`. Raises OSError where nothing does."""
    found = os.lstat(path).st_mode
    if not stat.S_ISLNK(found):
        return _kind(found)
    try:
        return _kind(os.stat(path).st_mode)
    except OSError:
        return f"a link to {shown(os.readlink(path))}, where nothing is"


def explained(error: OSError) -> tuple[str, str] | None:
    """What is wrong at the error's path, and the repair; None where nothing about the path itself is wrong."""
    for path in (error.filename2, error.filename):
        if not isinstance(path, str | bytes) or not path:
            continue
        found = _fault(os.fsdecode(path), error)
        if found is not None:
            return found
    return None


def refusal(code: str, what: str, error: OSError, hint: str) -> MaestroError:
    """MaestroError `code` for an error at a path. `what` begins the sentence, and `hint` ends the repair; it is all
    of it where nothing is wrong with the path itself."""
    from maestro_schemas.errors import MaestroError

    why, repair = explained(error) or (_plainly(error), "")
    return MaestroError(code, f"{what}: {why}", f"{repair} {hint}".strip())


def _is_seen(character: str) -> bool:
    # Variation selectors are printable to Python.
    is_selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return character.isprintable() and not is_selector


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte, as Python has it in a path
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _plainly(error: OSError) -> str:
    name = error.filename2 or error.filename
    words = error.strerror or str(error)
    return f"{shown(os.fsdecode(name))}: {words}" if isinstance(name, str | bytes) else words


def _fault(path: str, error: OSError) -> tuple[str, str] | None:
    if isinstance(error, MisplacedError):
        return _misplaced(path, error.found, error.wanted)
    for above in _above(path):
        try:
            found = kind_at(above)
        except OSError:
            break
        if found != DIRECTORY:
            return _misplaced(above, found, DIRECTORY)
        if error.errno in _REFUSED and not os.access(above, os.X_OK):
            return _closed(above, "entered")
    try:
        found = kind_at(path)
    except OSError:
        found = ""
    wanted = DIRECTORY if error.errno in (errno.EEXIST, errno.ENOTDIR) else FILE
    if found and error.errno in _WRONG_KIND and found != wanted:
        return _misplaced(path, found, wanted)
    if found and error.errno == errno.ENOENT:
        return _misplaced(path, found, "what it names")
    if error.errno in _REFUSED:
        return _closed(path if found else os.path.dirname(path), "used")
    return None


def _above(path: str) -> list[str]:
    """The directories above a path, the root first."""
    found: list[str] = []
    while (path := os.path.dirname(path)) not in ("", "/"):
        found.insert(0, path)
    return found


def _misplaced(path: str, found: str, wanted: str) -> tuple[str, str]:
    what = f"{shown(path)} is {found}"
    if wanted not in (FILE, DIRECTORY):
        return what, f"Remove the link ({_words('rm', path)}), or make what it names."
    return f"{what}, and must be {wanted}", f"Move it away: {_move(path)}."


def _closed(path: str, verb: str) -> tuple[str, str]:
    try:
        status = os.stat(path)
    except OSError:
        return f"{shown(path)} may not be {verb}", "Use a path that is yours."
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    if status.st_uid == os.geteuid():
        wanted = "u+rwx" if stat.S_ISDIR(status.st_mode) else "u+rw"
        return f"{shown(path)} may not be {verb}: its mode is {mode}", f"Run: {_words('chmod', wanted, path)}."
    why = f"it belongs to uid {status.st_uid}, its mode is {mode}, and you are uid {os.geteuid()}"
    return f"{shown(path)} may not be {verb}: {why}", "Use a path that is yours."


def _move(path: str) -> str:
    return _words("mv", path, f"{path}.old")


def _words(*words: str) -> str:
    return " ".join(map(quoted, words))


def _kind(mode: int) -> str:
    for test, name in (
        (stat.S_ISREG, FILE),
        (stat.S_ISDIR, DIRECTORY),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
    ):
        if test(mode):
            return name
    return "a device"
