"""Generate configs of pytorch_optimizer's optimizers from the signatures of their constructors.

    python tools/package_optimizers/generate.py            write stale files
    python tools/package_optimizers/generate.py --check    only list them, and fail if there are any

There are two files: `pytorch_optimizer.py` with the classes, and `index.py` with the names of all
optimizers of other packages, so that a name can be looked up and listed without an import of its
module. Facts that are not in signatures are in `arguments.py`, `classes.py`, `measured.py` and
`left_out.py`.
"""

from __future__ import annotations

import inspect
import math
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from enum import Enum
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

sys.path.insert(0, str(Path(__file__).parent))  # tests load this file without its folder

from arguments import ARGUMENTS, OMITTED
from classes import CURATED, FACTS, GROUP_KEYS, KEYWORDS, REFERENCES, SUMMARIES
from left_out import LEFT_OUT
from measured import UNDER_FSDP2
from sources import read_keys

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "src" / "nshtrainer" / "optimizer" / "third_party"
WIDTH = 100

# -- the package -----------------------------------------------------------------------------------


@cache
def optimizers() -> dict[str, type]:
    """Return the optimizers of the package, without torch's, by the names of their classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pytorch_optimizer.optimizer import OPTIMIZERS
    own = {cls.__name__: cls for cls in OPTIMIZERS.values() if not _is_torchs(cls)}
    return dict(sorted(own.items(), key=lambda item: item[0].lower()))


def _is_torchs(cls: type) -> bool:
    return cls.__module__.startswith("torch.")


@cache
def _names_of_torch() -> set[str]:
    import torch

    return {name.lower() for name in vars(torch.optim) if name[0].isupper()}


def file_name(cls: str) -> str:
    """Return the name in a file: lower-case, with a prefix if torch has the same name."""
    return f"po_{cls.lower()}" if cls.lower() in _names_of_torch() else cls.lower()


def class_name(cls: str) -> str:
    """Return the name of the config."""
    return f"PO{cls}Config" if cls.lower() in _names_of_torch() else f"{cls}Config"


@cache
def papers() -> dict[str, tuple[str, str]]:
    """Return titles and addresses from the package's list of papers, by the name of the method."""
    text: str = metadata.metadata("pytorch_optimizer").get_payload()  # type: ignore[assignment]
    row = re.compile(r"\| (\S.*?)\s*\| \*(.+?)\*\s*\|.*?\[paper\]\((.*?)\)")
    return {_key(m[1]): (m[2].strip(), m[3]) for m in map(row.match, text.splitlines()) if m}


def _key(name: str) -> str:
    return re.sub(r"\W", "", name).lower()


def reference(cls: str) -> str:
    """Return title and place of the paper; empty if there is none."""
    row, place = REFERENCES.get(cls, (None, None))
    if row == "":
        return place or ""
    title, address = papers()[_key(row or cls)]
    found = re.search(r"arxiv\.org/\w+/(\d+\.\d+)", address)
    where = place or (f"arXiv:{found[1]}" if found else address)
    return f"{title[0].upper()}{title[1:]}, {where}"


# -- fields ----------------------------------------------------------------------------------------


def fields(cls: str) -> Iterator[tuple[str, str, str | None, str]]:
    """Yield the fields of a config: name, type, default as code (None: required), description."""
    parameters = inspect.signature(optimizers()[cls]).parameters
    named = [key for key in parameters if key not in {"params", "kwargs"}]
    for key in sorted(named, key=lambda key: key != "lr"):
        if f"{cls}.{key}" in OMITTED:
            continue
        kind, text = ARGUMENTS.get(f"{cls}.{key}", ARGUMENTS[key])
        kind = _narrower(cls, key) or kind or _type(key, parameters[key])
        default = parameters[key].default
        yield key, kind, None if default is inspect.Parameter.empty else _code(default), text
    for key, (kind, default, text) in group_keys(cls).items():
        yield key, kind, default, text


def group_keys(cls: str) -> dict[str, tuple[str, str, str]]:
    """Return the fields that a step reads of a group but the constructor does not name."""
    target = optimizers()[cls]
    unnamed = read_keys(target) - set(inspect.signature(target).parameters)
    found = {key: KEYWORDS[key] for key in KEYWORDS if key in unnamed}
    return GROUP_KEYS.get(cls, {}) | found


def for_all(cls: str) -> tuple[str, ...]:
    """Return the fields that a step does not read of a group, so that they apply to all groups."""
    read, extra = read_keys(optimizers()[cls]), FACTS.get(cls, {}).get("for_all", ())
    named = {key for key, *_ in fields(cls)} - group_keys(cls).keys()
    of_group = {"adamw_lr", "adamw_betas", "adamw_eps", "adamw_wd"}
    return tuple(sorted((named - read - of_group) | {*extra}))


def _narrower(cls: str, key: str) -> str | None:
    if key == "lr" and "lr_zero" in FACTS.get(cls, {}):
        return "Positive"
    return CURATED[cls].types.get(key) if cls in CURATED else None


def _code(value: Any) -> str:
    """Return a default as code in a config; values that a file cannot hold are replaced."""
    if isinstance(value, Enum):
        return repr(value.name.lower()).replace("'", '"')
    if type(value).__module__ == "torch":
        return f'"{str(value).removeprefix("torch.")}"'
    if isinstance(value, float) and math.isinf(value):
        return "None"
    return repr(value).replace("'", '"')


def _type(key: str, parameter: inspect.Parameter) -> str:
    """Return the type by rule: the type of the default, with the range for the name."""
    default, kind = parameter.default, parameter.annotation
    if key == "foreach":
        return "bool | None"
    literals = [kind, *get_args(kind)]
    choices = next((get_args(one) for one in literals if get_origin(one) is Literal), None)
    if choices:
        either = f"Literal[{', '.join(map(repr, choices))}]".replace("'", '"')
        return f"{either} | None" if type(None) in get_args(kind) else either
    if isinstance(default, tuple):
        return f"tuple[{', '.join(_number('betas', value) for value in default)}]"
    return _number(key, default)


_DECAYS = re.compile(r"beta|beta\d|betas|momentum|decay_rate")


def _number(key: str, default: Any) -> str:
    if isinstance(default, bool):
        return "bool"
    if isinstance(default, int):
        return "PositiveInt" if default > 0 else "NonNegativeInt"
    if not isinstance(default, float):
        raise TypeError(f"no rule for the type of {key} with the default {default!r}")
    return "Beta" if _DECAYS.fullmatch(key) and 0 <= default < 1 else "NonNegative"


# -- classes ---------------------------------------------------------------------------------------

HEAD = '''\
"""Configs of pytorch_optimizer {version}, generated by tools/package_optimizers/generate.py."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Strict
from typing_extensions import final

from nshtrainer.optimizer.base import optimizer_registry
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.types import (
    Beta,
    Finite,
    Fraction,
    Integer,
    NonNegative,
    NonNegativeInt,
    Positive,
    PositiveInt,
)

'''


def module() -> str:
    """Return the text of the module with all classes."""
    names = [cls for cls in optimizers() if cls not in LEFT_OUT["pytorch_optimizer"]]
    head = HEAD.format(version=metadata.version("pytorch_optimizer"))
    exported = "\n".join(f'    "{class_name(cls)}",' for cls in names)
    classes = "\n\n".join(class_text(cls) for cls in names)
    return formatted(f"{head}__all__ = [\n{exported}\n]\n\n\n{classes}")


def class_text(cls: str) -> str:
    """Return the text of one class: its docstring, class variables and fields."""
    lines = [
        "@final",
        "@optimizer_registry.register",
        f"class {class_name(cls)}(PackageOptimizerConfigBase):",
        *indented(docstring(cls)),
        "",
        f'    target = "pytorch_optimizer:{cls}"',
        *(f"    {key} = {_code(value)}" for key, value in facts(cls).items()),
        "",
        f'    name: Literal["{file_name(cls)}"] = "{file_name(cls)}"',
    ]
    for key, kind, default, text in fields(cls):
        value = "" if default is None else f" = {default}"
        lines += ["", f"    {key}: {kind}{value}", *indented(f'"""{text}"""')]
    return "\n".join(lines) + "\n"


def docstring(cls: str) -> str:
    """Return the docstring of a class: summary, advice, paper, and an example that runs."""
    parts = [f'"""{SUMMARIES[cls]}']
    if cls in CURATED:
        parts.append(wrapped(CURATED[cls].when))
    if reference(cls):
        parts.append(wrapped(f"Reference: {reference(cls)}."))
    parts.append(f'{example(cls)}\n"""')
    return "\n\n".join(parts)


def example(cls: str) -> str:
    """Return an example with the required fields and another value for the first number."""
    every = list(fields(cls))
    given = {key: "100" for key, _, default, _ in every if default is None}
    first = next(
        key for key, kind, _, _ in every if re.match(r"NonNegative\b|Positive\b|Beta\b", kind)
    )
    given[first] = "0.5"
    if first == "lr" and "lr_is_ignored" in FACTS.get(cls, {}):
        field, value = FACTS[cls]["lr_requires"]
        given[field] = repr(value)
    arguments = ", ".join(f"{key}={value}" for key, value in given.items())
    return f">>> {class_name(cls)}({arguments}).{first}\n0.5"


def facts(cls: str) -> dict[str, Any]:
    """Return the class variables, from the tables and from the signature."""
    found = dict(FACTS.get(cls, {}))
    if group_keys(cls):
        found["group_keys"] = tuple(group_keys(cls))
    if for_all(cls):
        found["for_all"] = for_all(cls)
    if cls in UNDER_FSDP2:
        found["under_fsdp2"] = UNDER_FSDP2[cls]
    rate = inspect.signature(optimizers()[cls]).parameters.get("lr")
    if rate is None or "Tensor" not in str(rate.annotation):
        found["takes_tensor_lr"] = False
    return found


def wrapped(text: str) -> str:
    """Return prose in lines that fit a docstring of a class."""
    return textwrap.fill(text, WIDTH - 4, break_on_hyphens=False, break_long_words=False)


def indented(text: str) -> list[str]:
    """Return lines with the indent of a class."""
    return [f"    {line}".rstrip() for line in text.split("\n")]


# -- the index -------------------------------------------------------------------------------------

MODULES = ("bitsandbytes", "pytorch_optimizer", "schedulefree", "torchao")

INDEX = '''\
"""Optimizers of other packages by config module and name, without importing the modules.

Generated by tools/package_optimizers/generate.py.
"""

from __future__ import annotations

__all__ = ["INDEX"]

INDEX: dict[str, dict[str, tuple[str, str]]] = {
'''


def index() -> str:
    """Return the text of the index, from the modules."""
    from nshtrainer.config.lazy_index import summary_of
    from nshtrainer.optimizer.third_party import base

    text = INDEX
    for name in MODULES:
        module = import_module(f"{base.__package__}.{name}")
        text += f"    {module.__name__!r}: {{\n"
        for cls in (getattr(module, key) for key in module.__all__):
            entry = summary_of(cls)
            text += f"        {cls.model_fields['name'].default!r}: {entry!r},\n"
        text += "    },\n"
    return formatted(f'{text}}}\n"""Class and summary of each optimizer, by module and name."""\n')


# -- writing ---------------------------------------------------------------------------------------


def formatted(text: str) -> str:
    """Return the text without unused imports, formatted by ruff."""
    fix = (
        "check",
        "--fix-only",
        "--quiet",
        "--select=F401,I,RUF022",
        "--stdin-filename=generated.py",
        "-",
    )
    for command in (fix, ("format", "--stdin-filename=generated.py", "-")):
        ruff = Path(sys.executable).with_name("ruff")
        run = subprocess.run(  # noqa: S603 - our own text
            [ruff, *command], input=text, capture_output=True, text=True, check=True, cwd=ROOT
        )
        text = run.stdout
    return text


def write(name: str, text: str, *, check: bool) -> bool:
    """Write a file if it is stale, or only print its name; return True if it is stale."""
    path = FOLDER / name
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    print(path.relative_to(ROOT))
    if not check:
        path.write_text(text, encoding="utf-8")
    return True


def main(arguments: list[str]) -> int:
    """Write both files, or with `--check` only list the stale ones."""
    check = "--check" in arguments
    stale = write("pytorch_optimizer.py", module(), check=check)
    stale |= write("index.py", index(), check=check)
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
