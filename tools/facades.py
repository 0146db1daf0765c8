"""Write the imports with which type checkers see the lazily imported names of a facade.

python tools/facades.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from nshtrainer import callbacks, configs, loggers, lr_scheduler, optimizer
from nshtrainer.optimizer import third_party as packages
from nshtrainer.optimizer.third_party.index import INDEX

FACADES: dict[ModuleType, Iterable[str]] = {
    configs: vars(configs)["_MODULES"],
    optimizer: vars(optimizer)["_MODULES"],
    lr_scheduler: vars(lr_scheduler)["_MODULES"],
    loggers: vars(loggers)["_MODULES"],
    callbacks: vars(callbacks)["_MODULES"],
    packages: INDEX,
}
"""The modules whose public names each facade offers."""

_BLOCK = re.compile(r"(?<=^if TYPE_CHECKING:\n)(?:    from \S+ import \*\n)+", re.MULTILINE)
_EAGER = re.compile(r"^from (\S+) import \*$", re.MULTILINE)


def source_of(facade: ModuleType) -> Path:
    """Return the file of a facade."""
    return Path(str(facade.__file__))


def renewed(text: str, modules: Iterable[str]) -> str:
    """Return the text of a facade, with an import for each module not imported at once."""
    missing = sorted({*modules} - {*_EAGER.findall(text)})
    return _BLOCK.sub("".join(f"    from {module} import *\n" for module in missing), text)


def main() -> None:
    """Write the imports of all facades."""
    for facade, modules in FACADES.items():
        path = source_of(facade)
        path.write_text(renewed(path.read_text(encoding="utf-8"), modules), encoding="utf-8")


if __name__ == "__main__":
    main()
