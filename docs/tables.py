"""Write the generated parts of the docs: tables from the registries, and pictures.

    python docs/tables.py            update stale parts
    python docs/tables.py --check    only list them, and fail if there are any

A page marks a generated part with `<!-- generated: name -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nshtrainer import RunLength
from nshtrainer.cli.recommended import RECOMMENDED
from nshtrainer.config.docstrings import class_docs, own_docs
from nshtrainer.config.named import NamedConfig
from nshtrainer.configs import (
    AdamWConfig,
    GroupingConfigBase,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfigBase,
    ParameterGroupConfig,
    ResumeConfig,
    SelectorConfig,
    callback_registry,
    logger_registry,
    lr_scheduler_registry,
    optimizer_registry,
)
from nshtrainer.exceptions import ConfigError
from nshtrainer.lr_scheduler.preview import preview_tracks
from nshtrainer.optimizer.third_party.base import PackageOptimizerConfigBase
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase
from nshtrainer.plotting import Plot, rendered
from nshtrainer.project.components import is_from_torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "tools" / "package_optimizers")]

import bad_input  # noqa: E402 - scripts, in no package
import pictures  # noqa: E402
import shapes  # noqa: E402
from classes import CURATED  # noqa: E402
from left_out import LEFT_OUT  # noqa: E402
from shapes import first_line  # noqa: E402

FEW = 12
"""Longest list of names in a cell; longer ones are counted."""

# -- tables ----------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def ours(registry: Any) -> Iterator[tuple[str, Any]]:
    """Yield the components of nshtrainer by name, without those of tests."""
    for name, cls in sorted(registry.items()):
        if cls.__module__.startswith("nshtrainer."):
            yield name, cls


def components(registry: Any, is_shown: Callable[[Any], bool]) -> str:
    """List those components of a registry that a predicate chooses."""
    shown = [(name, cls) for name, cls in ours(registry) if is_shown(cls)]
    rows = ([f"`{name}`", f"`{cls.__name__}`", first_line(cls)] for name, cls in shown)
    return table(["Name in a file", "Class", "Description"], rows)


def recommended(registry: Any) -> str:
    """List the recommended components of a registry, each with advice on its use."""
    rows = (
        [f"`{name}`", f"`{registry[name].__name__}`", when]
        for name, when in RECOMMENDED[registry.kind].items()
    )
    return table(["Name in a file", "Class", "Use it"], rows)


# -- optimizers of other packages ------------------------------------------------------------------


def is_of_a_package(cls: type) -> bool:
    """Return True for configs of third-party optimizers."""
    return issubclass(cls, PackageOptimizerConfigBase)


def of_packages() -> list[tuple[str, Any]]:
    """Return the third-party optimizers by name."""
    return [(name, cls) for name, cls in ours(optimizer_registry) if is_of_a_package(cls)]


def curated() -> str:
    """List the best known third-party optimizers with advice and references."""
    chosen = [(name, cls) for name, cls in of_packages() if cls.target.partition(":")[2] in CURATED]
    rows = (
        [f"`{name}`", CURATED[cls.target.partition(":")[2]].when, reference(cls)]
        for name, cls in chosen
    )
    return table(["Name in a file", "Use it", "Reference"], rows)


def reference(cls: type) -> str:
    """Return the reference of a docstring in one line."""
    found = re.search(r"Reference: (.*?)\.\n\n", class_docs(cls), flags=re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def packages() -> str:
    """List all third-party optimizers with learning rate, requirements and license."""
    rows = (
        [f"`{name}`", f"`{cls.__name__}`", first_line(cls), rate(cls), needs(cls), cls.licence]
        for name, cls in of_packages()
    )
    head = ["Name in a file", "Class", "Description", "Default `lr`", "Requirements", "License"]
    return table(head, rows)


def rate(cls: Any) -> str:
    """Return the default of the learning rate."""
    field = cls.model_fields.get("lr")
    if field is None:
        return "none"
    if field.is_required():
        return "required"
    return "automatic" if field.default is None else f"{field.default:g}"


def left_out() -> str:
    """List the optimizers without a config, with the reason."""
    rows = (
        [package, ", ".join(f"`{cls}`" for cls, reason in entries.items() if reason == why), why]
        for package, entries in LEFT_OUT.items()
        for why in dict.fromkeys(entries.values())
    )
    return table(["Package", "Optimizers", "Reason"], rows)


# -- requirements ---------------------------------------------------------------------------------


def implementations() -> str:
    """List the default implementation and the requirements of each torch optimizer."""
    rows = (
        [f"`{name}`", f"{cls.model_fields['lr'].default:g}", fused_types(cls), needs(cls)]
        for name, cls in ours(optimizer_registry)
        if issubclass(cls, TorchOptimizerConfigBase) and not is_of_a_package(cls)
    )
    return table(["Optimizer", "Default `lr`", "Fused by default for", "Requirements"], rows)


def fused_types(cls: Any) -> str:
    """Return the dtypes for which torch's fused kernel is the default."""
    always = cls().fused_dtypes()
    momentum = cls(momentum=0.9).fused_dtypes() if "momentum" in cls.model_fields else always
    if momentum == always:
        return ", ".join(always)
    return f"with momentum: {', '.join(momentum)}"


def needs(cls: Any) -> str:
    """Return the requirements on parameters, training loop and checkpoints."""
    return ", ".join(cls.asks())


CAPABILITIES = (
    "needs_closure",
    "needs_second_backward",
    "has_modes",
    "lr_scope",
    "lr_requires",
    "lr_zero",
    "lr_is_written",
    "pairs_by",
    "for_all",
    "needs_with",
    "needs_dimensions",
    "needs_sparse_gradients",
    "needs_one_group",
    "splits_by_dimensions",
    "takes_tensor_lr",
    "state_is_plain",
    "under_fsdp2",
    "instead_on_cpu",
    "licence",
)


def capabilities() -> str:
    """List the class variables that declare requirements, and the exceptions."""
    bases = (GroupingConfigBase, TorchOptimizerConfigBase, PackageOptimizerConfigBase)
    docs = {key: text for base in bases for key, text in own_docs(base).items()}
    rows = ([f"`{key}`", " ".join(docs[key].split()), who(key)] for key in CAPABILITIES)
    return table(["Class variable", "Meaning", "Exceptions"], rows)


def who(capability: str) -> str:
    """Return the names with another value than the most common, or their number."""
    values = {
        name: getattr(cls, capability)
        for name, cls in ours(optimizer_registry)
        if hasattr(cls, capability) and issubclass(cls, TorchOptimizerConfigBase)
    }
    usual = Counter(values.values()).most_common(1)[0][0]
    others = [f"`{name}`" for name, value in values.items() if value != usual]
    return ", ".join(others) if len(others) <= FEW else f"{len(others)} of {len(values)}"


def fields(cls: Any, only: Any = None) -> str:
    """List the fields of a config, or of one of its bases."""
    shown = (only or cls).model_fields.keys() - (
        {"name"} if issubclass(cls, NamedConfig) else set()
    )
    rows = (
        [f"`{name}`", default(field), described(prop)]
        for (name, field), prop in zip(
            cls.model_fields.items(), cls.json_schema()["properties"].values(), strict=True
        )
        if name in shown
    )
    return table(["Field", "Default", "Meaning"], rows)


def default(field: Any) -> str:
    """Return the default of a field, as in a file."""
    if field.is_required():
        return "required"
    words = {"None": "null", "True": "true", "False": "false", "()": "[]"}
    value = str(field.get_default(call_default_factory=True))
    return f"`{words.get(value, value)}`"


def described(prop: dict[str, Any]) -> str:
    """Return the description of a field in one line."""
    return " ".join(prop.get("description", "").split()).replace("|", "\\|")


# -- pictures --------------------------------------------------------------------------------------

GALLERY = "docs/images/schedules"
RUN = RunLength(
    total_steps=1000,
    steps_per_epoch=100,
    samples_per_step=256,
    tokens_per_step=4096,
    base_lr=1e-3,
    beta2=0.999,
)
"""Length of the run in the gallery."""


def schedule_picture() -> str:
    """Draw `linear_warmup_cosine_decay`, with and without `annealing`, beyond its end."""
    options: dict[str, Any] = {"warmup_duration": "10%", "max_duration": "100%"}
    plain = LinearWarmupCosineDecayLRSchedulerConfig(**options, min_lr_factor=0.1)
    named = {"linear_warmup_cosine_decay": plain, "annealing: true": plain.replace(annealing=True)}
    run, longer = RunLength(total_steps=200), RunLength(total_steps=301)
    plots = [
        Plot(label, preview_tracks(config.tracks(run), longer)) for label, config in named.items()
    ]
    return str(rendered(plots, ".svg"))


def gallery_yaml(cls: Any) -> str:
    """Return the example of a schedule as YAML; its defaults if it has none."""
    return f"name: {name_of(cls)}\n{cls.example.strip()}".strip()


def gallery_config(cls: Any) -> LRSchedulerConfigBase:
    """Return the example of a schedule."""
    try:
        return cls.from_yaml(gallery_yaml(cls))
    except ConfigError as error:
        text = f"{cls.__name__} has no valid example; write `example = ...` in the class"
        raise ConfigError(f"{text}, with its fields as YAML: {error}") from error


def name_of(cls: Any) -> str:
    """Return the name of a component in a file."""
    return str(cls.model_fields["name"].default)


def gallery_picture(cls: Any) -> str:
    """Draw the example of a schedule."""
    return str(rendered([Plot(name_of(cls), gallery_config(cls).preview(RUN))], ".svg"))


def drawn() -> list[Any]:
    """Return the schedules that can be computed before training."""
    return [cls for _, cls in ours(lr_scheduler_registry) if cls.is_curve]


def gallery() -> str:
    """List the schedules by shape, with a section for each."""
    return "\n\n".join(gallery_shape(shape) for shape in shapes.SHAPES)


def gallery_shape(shape: shapes.Shape) -> str:
    """Return one shape of the gallery: a table, and a section for each schedule."""
    rows = ([f"[`{name}`](#{name})", when] for name, when in shape.schedules.items())
    head = f"## {shape.title}\n\n{shape.when}\n\n{table(['Schedule', shape.column], rows)}"
    sections = (gallery_section(lr_scheduler_registry[name]) for name in shape.schedules)
    return "\n\n".join([head, *sections])


def gallery_section(cls: Any) -> str:
    """Return the section of one schedule."""
    name, config, yaml = name_of(cls), gallery_config(cls), gallery_yaml(cls)
    picture = f"![{name}](../images/schedules/{name}.svg)"
    note = config.describe(RUN)
    note = f"{note[0].upper()}{note[1:]}."
    return f"### {name}\n\n{prose(cls)}\n\n{picture}\n\n{note}\n\n```yaml\n{yaml}\n```"


def prose(cls: type) -> str:
    """Return the docstring of a class without examples and errors."""
    paragraphs = re.split(r"\n\s*\n", class_docs(cls))
    kept = [part for part in paragraphs if not part.lstrip().startswith((">>>", "Raises:"))]
    return "\n\n".join(kept).replace("*", "\\*")


# -- writing ---------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], str]] = {
    "optimizers": lambda: components(optimizer_registry, lambda cls: not is_of_a_package(cls)),
    "schedules": lambda: components(lr_scheduler_registry, lambda cls: not is_from_torch(cls)),
    "schedules from torch": lambda: components(lr_scheduler_registry, is_from_torch),
    "loggers": lambda: components(logger_registry, lambda _: True),
    "callbacks": lambda: components(callback_registry, lambda _: True),
    "recommended optimizers": lambda: recommended(optimizer_registry),
    "recommended schedules": lambda: recommended(lr_scheduler_registry),
    "implementations": implementations,
    "curated optimizers": curated,
    "optimizers of packages": packages,
    "optimizers left out": left_out,
    "capabilities": capabilities,
    "fields of grouping": lambda: fields(AdamWConfig, only=GroupingConfigBase),
    "fields of a rule": lambda: fields(ParameterGroupConfig),
    "fields of a selector": lambda: fields(SelectorConfig),
    "fields of resume": lambda: fields(ResumeConfig),
    "fields of linear_warmup_cosine_decay": lambda: fields(
        lr_scheduler_registry["linear_warmup_cosine_decay"]
    ),
    "fields of reduce_lr_on_plateau": lambda: fields(lr_scheduler_registry["reduce_lr_on_plateau"]),
    "bad input": lambda: table(bad_input.HEAD, bad_input.rows(bad_input.FILES)),
    "bad use": lambda: table(bad_input.HEAD, bad_input.rows(bad_input.PYTHON)),
    "bad commands": lambda: table(bad_input.HEAD, bad_input.rows(bad_input.COMMANDS)),
    "gallery": gallery,
}
PICTURES: dict[str, Callable[[], str]] = {
    "docs/images/overview.svg": pictures.overview,
    "docs/images/architecture.svg": pictures.architecture,
    "docs/images/notebook.svg": pictures.notebook,
    "docs/images/schedule.svg": schedule_picture,
    **{f"{GALLERY}/{name_of(cls)}.svg": partial(gallery_picture, cls) for cls in drawn()},
}


def filled(text: str) -> str:
    """Return a page with its generated parts updated."""

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}"

    marked = r"(<!-- generated: ([\w ]+) -->\n).*?\n(<!-- end -->)"
    return re.sub(marked, part, text, flags=re.DOTALL)


def fresh() -> dict[Path, str]:
    """Return every file with generated parts, and its updated text."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    files = {page: filled(page.read_text(encoding="utf-8")) for page in pages}
    return files | {ROOT / path: picture() for path, picture in PICTURES.items()}


def stale() -> dict[Path, str]:
    """Return the files that need an update, and their updated text."""
    return {
        path: text
        for path, text in fresh().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main(arguments: list[str]) -> int:
    """Update stale files, or list them with `--check`."""
    found = stale()
    for path, text in found.items():
        print(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int("--check" in arguments and bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
