"""`python -m maestro_cli`: the same as `maestro`, where no script is on the PATH."""

import sys

from .main import main

sys.exit(main())
