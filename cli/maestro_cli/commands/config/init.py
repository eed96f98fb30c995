"""`maestro config init`: a config file of all settings, each commented out.

Rule: an existing file is never overwritten.
"""

from __future__ import annotations

import os

from maestro_cli.output import streams
from maestro_runtime import user_files
from maestro_schemas.errors import MaestroError

DETAILS = """\
Every line is a comment with the default in it: remove the `#` before the lines
that you change. An existing file stays as it is.

Examples:
  maestro config init"""


def run() -> int:
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
    streams.say(
        f"Wrote {path}. Remove the # before the lines that you change; a broker reads the file when it starts."
    )
    return 0
