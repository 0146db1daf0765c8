"""The peers live in an environment of their own: `make test-peers` makes it, and runs these.

Elsewhere the tests of a peer that is not installed are not collected.
"""

from __future__ import annotations

from importlib.util import find_spec

PEERS = ("accelerate", "optax", "pytorch_optimizer", "timm", "transformers")

collect_ignore_glob = [f"test_{peer}*.py" for peer in PEERS if find_spec(peer) is None]
