"""Entry point of `python -m nshtrainer`, which runs the command `nshtrainer`."""

from __future__ import annotations

import sys

from nshtrainer.cli import main

if __name__ == "__main__":
    sys.exit(main())
