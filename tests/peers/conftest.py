"""The peers live in an environment of their own: `make test-peers` makes it, and runs these.

Elsewhere the test of a peer that is not installed is not collected.
"""

from __future__ import annotations

from importlib.util import find_spec

PEERS = ("optax", "pytorch_optimizer", "transformers")

collect_ignore = [f"test_{peer}.py" for peer in PEERS if find_spec(peer) is None]
