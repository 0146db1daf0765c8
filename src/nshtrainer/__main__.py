"""`python -m nshtrainer` is the command `nshtrainer`."""

from __future__ import annotations

import sys

from nshtrainer.cli import main

if __name__ == "__main__":
    sys.exit(main())
