"""`maestro keys new`: make a key for another machine.

Rule: the secret half goes into one file (0600) and nowhere else: no terminal, no log, no argument. A right must be
granted by an option: without options the key speaks only for the sessions that are started with it.
"""

from __future__ import annotations

import os

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Copy the file to the other machine in private (scp), and run there:
  export MAESTRO_BROKER=tcp://HOST:PORT MAESTRO_KEY_FILE=PATH
The same name may be used again once its key was revoked; the new key then
speaks for the sessions of the old one.

Examples:
  maestro keys new laptop --out laptop.key
  maestro keys new builder --project shop
  maestro keys new one-worker --session sess_a --session sess_b
  maestro keys new my-desk --operator"""


def run(
    name: Annotated[str, Option(help="The key's name in lists and logs.")],
    /,
    *,
    session: Annotated[
        list[str] | None,
        Option(metavar="ID", help="It may speak for this session only; may be repeated."),
    ] = None,
    project: Annotated[
        str | None, Option(metavar="PROJECT", help="It may speak for the sessions of this project.")
    ] = None,
    any_session: Annotated[bool, Option(name="--any", help="It may speak for every session.")] = False,
    orchestrator: Annotated[bool, Option(help="It may start orchestrators, not only workers.")] = False,
    operator: Annotated[
        bool, Option(help="It may do everything that the operator on this machine may, also stop the broker.")
    ] = False,
    out: Annotated[
        str | None,
        Option(metavar="FILE", help="The path of the key file. Default: NAME.key, in this directory."),
    ] = None,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"name", "file", "speaksFor"} as JSON; never the secret.')
    ] = False,
) -> int:
    """Make a key."""
    from maestro_clients.transports.curve_keys import new_pair
    from maestro_runtime import key_files, ownership, paths
    from maestro_schemas.keys import Key
    from maestro_schemas.names import is_id

    context = CommandContext.here()
    ownership.check_data_dir(context.data)
    context.check_local("make a key for")
    for text in (name, *(session or [])):
        if not is_id(text):
            raise MaestroError("INVALID_ID", f"{text!r:.100} can't be an id", "Use 1 to 64 of A-Z a-z 0-9 _ -.")
    scopes = [bool(session), project is not None, any_session, operator]
    if sum(scopes) > 1:
        raise MaestroError(
            "INVALID", "--session, --project, --any and --operator exclude each other", "Make a key for each."
        )
    old = key_files.read(context.data, name)
    if old is not None and old.revoked_at is None:
        raise MaestroError(
            "CONFLICT", f"there is a key {name!r} already", f"maestro keys revoke {name}, or choose another name."
        )
    os.umask(0o077)
    path = paths.absolute(out or f"{name}.key", "--out")
    pair = new_pair()
    server = key_files.server_pair(context.data, new_pair)
    # The file first: a key without its secret could never be used, and would look valid in the list.
    key_files.write_client_key(path, key_files.ClientKey(name, pair, server.public))
    key = Key(
        name,
        pair.public,
        now_ms(),
        sessions=tuple(session or ()),
        project=project,
        own=not any(scopes),
        any_session=any_session,
        orchestrator=orchestrator or operator,
        operator=operator,
    )
    key_files.write(context.data, key)
    text = (
        f"Made the key {name}: it speaks for {key.scope()}.\n"
        f"{path} is its secret. Take it to the other machine in private, remove it here, and there:\n"
        "  export MAESTRO_BROKER=tcp://HOST:PORT MAESTRO_KEY_FILE=PATH_OF_THE_FILE"
    )
    document = {"name": name, "file": path, "speaksFor": key.scope()}
    streams.say(streams.json_line(document) if as_json else text, done=f"The key {name} is in {path}.")
    return 0
