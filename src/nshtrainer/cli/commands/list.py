"""List the recommended components, or all that a file can name."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nshtrainer.cli.parser import VerbParser
    from nshtrainer.config.registry import Registry

HELP = "list optimizers, schedules, loggers and callbacks"


def add_arguments(parser: VerbParser) -> None:
    """Add the arguments of this command."""
    text = "optimizer, lr_scheduler, logger or callback (default: all)"
    parser.add_argument("kind", nargs="?", help=text, completed="kind")
    parser.add_code("list the components of this code too")
    parser.add_argument("--all", action="store_true", help="list all, not only the recommended")


def run(args: Namespace) -> int:
    """Print the tables. Plug-ins are listed with their package, without importing them."""
    from nshtrainer.console import say
    from nshtrainer.project.components import registries, registry_of, warn_of_conflicts
    from nshtrainer.project.user_code import import_components

    chosen = [registry_of(args.kind)] if args.kind else list(registries().values())
    known = {registry.kind: {*registry} for registry in chosen}
    if args.code:
        import_components(args.code)
    for registry in chosen:
        own = [name for name in registry if name not in known[registry.kind]]
        _print_all(registry) if args.all else _print_recommended(registry, own)
    warn_of_conflicts()
    if not args.all:
        say("all of them: nshtrainer list --all")
    say("fields of one: nshtrainer show NAME")
    return 0


def _print_recommended(registry: Registry[Any], own: Sequence[str]) -> None:
    """Print when to use each component; the user's own and installed plug-ins are listed too."""
    from nshtrainer.cli.recommended import RECOMMENDED
    from nshtrainer.console import print_table

    classes = registry.summaries()
    rows = [(name, classes[name][0], when) for name, when in RECOMMENDED[registry.kind].items()]
    rows += [(name, *classes[name]) for name in own]
    columns = ("name", "class", "when to use it")
    print_table(columns, [*rows, *_plugins(registry)], title=f"{registry.kind}, recommended")


def _print_all(registry: Registry[Any]) -> None:
    """Print every component, PyTorch's schedulers in a separate table."""
    from nshtrainer.console import print_table
    from nshtrainer.project.components import is_from_torch

    rows = [
        (name, cls, summary.replace("`", ""))
        for name, (cls, summary) in sorted(registry.summaries().items())
    ]
    columns = ("name", "class", "description")
    # No lookup of optimizers: it would import those of other packages.
    is_schedule = registry.kind == "lr_scheduler"
    torchs = [row for row in rows if is_schedule and is_from_torch(registry[row[0]])]
    others = [row for row in rows if row not in torchs]
    print_table(columns, [*others, *_plugins(registry)], title=registry.kind)
    if torchs:
        print_table(columns, torchs, title=f"{registry.kind}, coming from torch")


def _plugins(registry: Registry[Any]) -> Iterator[tuple[str, str, str]]:
    for name, entry in sorted(registry.plugins().items()):
        if name not in set(registry):
            package = entry.dist.name if entry.dist else "?"
            yield name, entry.value.rpartition(":")[2], f"plug-in of {package}"
