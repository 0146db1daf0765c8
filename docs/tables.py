"""Writes the generated parts of the documents: tables from the registries, and the pictures.

    python docs/tables.py            write what is stale
    python docs/tables.py --check    only say so, and fail if something is

A page marks a generated part with `<!-- generated: name -->` and `<!-- end -->`.
"""

from __future__ import annotations

import html
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    GroupingConfigBase,
    LinearWarmupCosineDecayLRSchedulerConfig,
    LRSchedulerConfigBase,
    ParameterGroupConfig,
    ResumeConfig,
    SelectorConfig,
    TrackScheduleConfigBase,
    lr_scheduler_registry,
    optimizer_registry,
)
from nshtrainer.exceptions import ConfigError
from nshtrainer.lr_scheduler.preview import preview_tracks
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase
from nshtrainer.plotting import Plot, rendered
from nshtrainer.tagged import Tagged

ROOT = Path(__file__).resolve().parents[1]
BAD_INPUT = ROOT / "tests" / "unit" / "bad_input.yaml"

# -- tables ----------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def ours(registry: Any) -> Iterator[tuple[str, Any]]:
    """What this package registers, by name, and not what a test registered meanwhile."""
    for name, cls in sorted(registry.items()):
        if cls.__module__.startswith("nshtrainer."):
            yield name, cls


def summary(cls: type) -> str:
    """The first line of the docstring."""
    return (cls.__doc__ or "").strip().partition("\n")[0].replace("|", "\\|")


def components(registry: Any) -> str:
    """The names and classes of a registry, and what they are."""
    rows = ([f"`{name}`", f"`{cls.__name__}`", summary(cls)] for name, cls in ours(registry))
    return table(["Name in a file", "Class", "What it is"], rows)


def implementations() -> str:
    """Which implementation each optimizer gets, and what it needs."""
    rows = (
        [f"`{name}`", f"{cls.model_fields['lr'].default:g}", fused_types(cls), needs(cls)]
        for name, cls in ours(optimizer_registry)
        if issubclass(cls, TorchOptimizerConfigBase)
    )
    return table(["Optimizer", "Default `lr`", "Fused by itself for", "Needs"], rows)


def fused_types(cls: Any) -> str:
    """The types of parameters that are updated by torch's fused kernel by themselves."""
    always = cls().fused_dtypes()
    momentum = cls(momentum=0.9).fused_dtypes() if "momentum" in cls.model_fields else always
    if momentum == always:
        return ", ".join(always)
    return f"with momentum: {', '.join(momentum)}"


def needs(cls: Any) -> str:
    """What an optimizer asks of its parameters and of the loop."""
    wanted = {
        "a closure": cls.needs_closure,
        "sparse gradients": cls.needs_sparse_gradients,
        "all parameters in one group": cls.needs_one_group,
        f"parameters of {cls.needs_dimensions} dimensions": cls.needs_dimensions is not None,
    }
    return ", ".join(what for what, true in wanted.items() if true)


def fields(cls: Any, only: Any = None) -> str:
    """The fields of a config, or those that a base of it has, with defaults and descriptions."""
    shown = (only or cls).model_fields.keys() - ({"name"} if issubclass(cls, Tagged) else set())
    rows = (
        [f"`{name}`", default(field), described(prop)]
        for (name, field), prop in zip(
            cls.model_fields.items(), cls.json_schema()["properties"].values(), strict=True
        )
        if name in shown
    )
    return table(["Field", "Default", "Meaning"], rows)


def default(field: Any) -> str:
    """The default of a field, as a file has it."""
    if field.is_required():
        return "required"
    words = {"None": "null", "True": "true", "False": "false", "()": "[]"}
    value = str(field.get_default(call_default_factory=True))
    return f"`{words.get(value, value)}`"


def described(prop: dict[str, Any]) -> str:
    """The description of a field in one line."""
    return " ".join(prop.get("description", "").split()).replace("|", "\\|")


def bad_input() -> str:
    """The table of hostile and clumsy input that the tests walk, with what is said."""
    cases = YAML(typ="safe").load(BAD_INPUT)
    rows = ([case["what"], code(given(case)), code("\n".join(case["says"]))] for case in cases)
    return table(["What", "Input", "What it says"], rows)


def given(case: dict[str, Any]) -> str:
    """The text of a case, or its overrides."""
    return "\n".join(case.get("overrides", ())) or case["text"].rstrip("\n")


def code(text: str) -> str:
    """Code of several lines in a cell of a table; characters that do not print are escaped."""
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    escaped = html.escape(shown, quote=False).replace("|", "&#124;").replace("*", "&#42;")
    lines = escaped.replace("_", "&#95;").replace("[", "&#91;").replace(" ", "&nbsp;").split("\n")
    # Spaces between words must break, or no column would fit a page.
    words = [re.sub(r"(?<=\S)&nbsp;(?=\S)", " ", line) for line in lines]
    return f"<code>{'<br>'.join(words)}</code>"


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
"""The run of the gallery."""


def schedule_picture() -> str:
    """`linear_warmup_cosine_decay`, with and without `annealing`, beyond the end of its run."""
    options: dict[str, Any] = {"warmup_duration": "10%", "max_duration": "100%"}
    plain = LinearWarmupCosineDecayLRSchedulerConfig(**options, min_lr_factor=0.1)
    named = {"linear_warmup_cosine_decay": plain, "annealing: true": plain.replace(annealing=True)}
    run, longer = RunLength(total_steps=200), RunLength(total_steps=301)
    plots = [
        Plot(label, preview_tracks(config.tracks(run), longer)) for label, config in named.items()
    ]
    return str(rendered(plots, ".svg"))


def gallery_yaml(cls: Any) -> str:
    """The example of a schedule as a file; where one has none of its own, its defaults."""
    return f"name: {name_of(cls)}\n{cls.example.strip()}".strip()


def gallery_config(cls: Any) -> LRSchedulerConfigBase:
    """The example of a schedule."""
    try:
        return cls.from_yaml(gallery_yaml(cls))
    except ConfigError as error:
        text = f"{cls.__name__} has no valid example; write `example = ...` in the class"
        raise ConfigError(f"{text}, with its fields as YAML: {error}") from error


def name_of(cls: Any) -> str:
    """The name of a component in a file."""
    return str(cls.model_fields["name"].default)


def gallery_picture(cls: Any) -> str:
    """The example of a schedule, drawn."""
    return str(rendered([Plot(name_of(cls), gallery_config(cls).preview(RUN))], ".svg"))


def drawn() -> list[Any]:
    """The schedules that can be computed before they run."""
    return [
        cls for _, cls in ours(lr_scheduler_registry) if issubclass(cls, TrackScheduleConfigBase)
    ]


def gallery() -> str:
    """A section for each schedule: what it is, its formula and source, its picture, a config."""
    return "\n\n".join(gallery_section(cls) for cls in drawn())


def gallery_section(cls: Any) -> str:
    """One schedule of the gallery."""
    name, config, yaml = name_of(cls), gallery_config(cls), gallery_yaml(cls)
    picture = f"![{name}](images/schedules/{name}.svg)"
    note = config.describe(RUN)
    note = f"{note[0].upper()}{note[1:]}."
    return f"## {name}\n\n{prose(cls)}\n\n{picture}\n\n{note}\n\n```yaml\n{yaml}\n```"


def prose(cls: type) -> str:
    """The docstring of a class without its examples and its list of errors."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(cls.__doc__ or ""))
    kept = [part for part in paragraphs if not part.lstrip().startswith((">>>", "Raises:"))]
    return "\n\n".join(kept).replace("*", "\\*")


# -- writing ---------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], str]] = {
    "optimizers": lambda: components(optimizer_registry),
    "schedules": lambda: components(lr_scheduler_registry),
    "implementations": implementations,
    "fields of grouping": lambda: fields(AdamWConfig, only=GroupingConfigBase),
    "fields of a rule": lambda: fields(ParameterGroupConfig),
    "fields of a selector": lambda: fields(SelectorConfig),
    "fields of resume": lambda: fields(ResumeConfig),
    "fields of linear_warmup_cosine_decay": lambda: fields(
        lr_scheduler_registry["linear_warmup_cosine_decay"]
    ),
    "fields of reduce_lr_on_plateau": lambda: fields(lr_scheduler_registry["reduce_lr_on_plateau"]),
    "bad input": bad_input,
    "gallery": gallery,
}
PICTURES: dict[str, Callable[[], str]] = {
    "docs/images/schedule.svg": schedule_picture,
    **{f"{GALLERY}/{name_of(cls)}.svg": partial(gallery_picture, cls) for cls in drawn()},
}


def filled(text: str) -> str:
    """A page with its generated parts as they are now."""

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}"

    marked = r"(<!-- generated: ([\w ]+) -->\n).*?\n(<!-- end -->)"
    return re.sub(marked, part, text, flags=re.DOTALL)


def fresh() -> dict[Path, str]:
    """Every file that has something generated, with what it should be now."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    files = {page: filled(page.read_text(encoding="utf-8")) for page in pages}
    return files | {ROOT / path: picture() for path, picture in PICTURES.items()}


def stale() -> dict[Path, str]:
    """The files that are not what they should be, and what they should be."""
    return {
        path: text
        for path, text in fresh().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main(arguments: list[str]) -> int:
    """Write what is stale, or with `--check` say so."""
    found = stale()
    for path, text in found.items():
        print(path.relative_to(ROOT))
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int("--check" in arguments and bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
