"""Steps: which function leads from each data format to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import format_2
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_broker.files.data_dir import Step


def _to_format_2(data: str) -> None:
    with Progress(data, 1) as progress:
        format_2.run(data, progress)


# By the version with which a step begins.
STEPS: Mapping[int, Step] = {1: _to_format_2}
