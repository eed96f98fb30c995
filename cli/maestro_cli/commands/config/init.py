"""`maestro config init`: a config file of all settings, each commented out.

Rule: an existing file is never overwritten.
"""

from __future__ import annotations

import os

from maestro_cli.output import streams
from maestro_runtime import user_files
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Every line is a comment with the default in it: remove the `#` before the lines
that you change. An existing file stays as it is.

Examples:
  maestro config init"""


def run(*, as_json: Annotated[bool, Option(name="--json", help='Print {"path"} as JSON.')] = False) -> int:
    """Write the file."""
    from maestro_cli.settings_view import template
    from maestro_runtime import atomic_file, paths
    from maestro_runtime.traces import footprints

    path = paths.config_file(os.environ)
    footprints.note_folders(paths.data_dir(os.environ), [path])
    user_files.make_folder(path)
    try:
        # Exclusive, so that not even one made a moment ago is lost.
        atomic_file.create(path, template().encode(), durable=False)
    except FileExistsError:
        raise MaestroError(
            "CONFLICT", f"{path} is there already, and stays as it is", "Edit it; `maestro config show` reads it."
        ) from None
    except OSError as error:
        raise user_files.unwritable(path, error) from None
    said = f"Wrote {path}. Remove the # before the lines that you change; a broker reads the file when it starts."
    streams.say(streams.json_line({"path": path}) if as_json else said)
    return 0
