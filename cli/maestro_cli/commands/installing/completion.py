"""`maestro completion`: a script with which a shell completes commands, options, sessions and messages.

Rule: it is printed, or with --install written where the shell looks for it; never over a file that is not ours.
"""

from __future__ import annotations

import os

from maestro_cli.completion.marks import Shell
from maestro_cli.output import streams
from maestro_runtime import paths, user_files
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
On Tab the shell reads the post office's files by itself: no Python is started.

Examples:
  source <(maestro completion bash)
  source <(maestro completion zsh)
  maestro completion fish | source
  maestro completion bash --install"""


def run(
    shell: Annotated[Shell, Option(name="SHELL", help="The shell.")],
    /,
    *,
    install: Annotated[bool, Option(help="Write it where the shell finds it by itself.")] = False,
    force: Annotated[bool, Option(help="With --install: also replace a file that another program made.")] = False,
) -> int:
    """Print the completion script of a shell."""
    from maestro_cli.completion.scripts import script
    from maestro_cli.setup import completion_files

    text = script(shell)
    if not install:
        streams.say(text.rstrip("\n"))
        return 0
    where = completion_files.places_of(shell)
    data = paths.data_dir(os.environ)
    for path in where:
        before = user_files.read(path, completion_files.BYTES_MAX)
        if before is not None and not completion_files.is_ours(before) and not force:
            raise MaestroError("INVALID", f"{path} was made by another program", "Add --force to replace it.")
        completion_files.CompletionFile(path, text).write(data)
        streams.say(f"Wrote {path}.")
    if shell == "zsh":
        directory = os.path.dirname(where[0])
        streams.say(f"In ~/.zshrc, before compinit, add: fpath=({directory} $fpath)")
    elif shell == "bash":
        streams.say("New shells complete maestro where the package bash-completion is installed.")
        streams.say("Without it, add to ~/.bashrc: source <(maestro completion bash)")
    else:
        streams.say("New shells complete maestro.")
    return 0
