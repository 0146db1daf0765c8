"""List the optimizers and schedules that a file can name."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nshtrainer.cli.parser import VerbParser
    from nshtrainer.config.registry import Registry

HELP = "list optimizers and schedules"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("kind", nargs="?", help="optimizer or lr_scheduler (default: both)")


def run(args: Namespace) -> int:
    """Print one table a kind. Plug-ins are named with their package and not imported."""
    from nshtrainer.cli.components import registries, registry_of, warn_of_conflicts
    from nshtrainer.cli.console import print_table, say

    chosen = [registry_of(args.kind)] if args.kind else list(registries().values())
    for registry in chosen:
        print_table(("name", "class", "what it is"), _rows(registry), title=registry.kind)
    warn_of_conflicts()
    say("more of one: nshtrainer show NAME")
    return 0


def _rows(registry: Registry[Any]) -> Iterator[tuple[str, str, str]]:
    for name, (cls, summary) in sorted(registry.summaries().items()):
        yield name, cls, summary.replace("`", "")
    for name, entry in sorted(registry.plugins().items()):
        if name not in set(registry):
            package = entry.dist.name if entry.dist else "?"
            yield name, entry.value.rpartition(":")[2], f"plug-in of {package}"
