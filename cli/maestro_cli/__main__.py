"""`python -m maestro_cli`: the same as `maestro`, where no script is on the PATH."""

from .main import leave, main

leave(main())
