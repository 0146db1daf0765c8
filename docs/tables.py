"""Writes the generated parts of the documents: tables from the registries, and the pictures.

    python docs/tables.py            write what is stale
    python docs/tables.py --check    only say so, and fail if something is

A page marks a generated part with `<!-- generated: name -->` and `<!-- end -->`.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from nshtrainer import RunLength
from nshtrainer.configs import (
    AdamWConfig,
    GroupingConfigBase,
    LinearWarmupCosineDecayLRSchedulerConfig,
    ParameterGroupConfig,
    SelectorConfig,
    lr_scheduler_registry,
    optimizer_registry,
)
from nshtrainer.optimizer.torch_config import TorchOptimizerConfigBase
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

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 56, 16, 40, 48
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.axis { stroke: #57606a; fill: none }
.grid { stroke: #57606a; opacity: 0.2 }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
.a { stroke: #0969da } .b { stroke: #bc4c00; stroke-dasharray: 6 4 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .axis, .grid { stroke: #9198a1 }
  .a { stroke: #58a6ff } .b { stroke: #f0883e }
}"""


class Axes:
    """From steps and factors to places in a picture of a fixed size."""

    def __init__(self, steps: int, top: float = 1.0) -> None:
        self.steps = steps
        self.top = top

    def x(self, step: float) -> float:
        """The place of a step, from the left."""
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / self.steps, 1)

    def y(self, factor: float) -> float:
        """The place of a factor, from the top."""
        return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * factor / self.top, 1)

    def frame(self) -> list[str]:
        """Both axes with their ticks, grid and titles."""
        parts = [f'<path class="axis" d="M{LEFT} {TOP}V{self.y(0)}H{WIDTH - RIGHT}"/>']
        for tenth in range(0, 11, 2):
            step, y = self.steps * tenth // 10, self.y(self.top * tenth / 10)
            parts += [
                f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>',
                _text(LEFT - 8, y + 4, f"{self.top * tenth / 10:g}", "end"),
                _text(self.x(step), HEIGHT - BOTTOM + 20, str(step), "middle"),
            ]
        middle = (LEFT + WIDTH - RIGHT) / 2
        return [*parts, _text(middle, HEIGHT - 8, "update of the optimizer, from 0", "middle")]

    def line(self, curve: Callable[[int], float], style: str) -> str:
        """A curve at every step, so that nothing is smoothed over."""
        points = " ".join(f"{self.x(t)},{self.y(curve(t))}" for t in range(self.steps + 1))
        return f'<polyline class="line {style}" points="{points}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'


def schedule_picture() -> str:
    """`linear_warmup_cosine_decay`, with and without `annealing`."""
    axes, run = Axes(300), RunLength(total_steps=200)
    options: dict[str, Any] = {"warmup_duration": "10%", "max_duration": "100%"}
    plain = LinearWarmupCosineDecayLRSchedulerConfig(**options, min_lr_factor=0.1)
    again = plain.replace(annealing=True)
    parts = [
        *axes.frame(),
        axes.line(again.curve(run), "b"),
        axes.line(plain.curve(run), "a"),
        f'<path class="line a" d="M{LEFT} 18h28"/>',
        _text(LEFT + 36, 22, "linear_warmup_cosine_decay", "start"),
        f'<path class="line b" d="M{LEFT + 250} 18h28"/>',
        _text(LEFT + 286, 22, "annealing: true", "start"),
    ]
    return svg("factor on the learning rate over 300 updates", parts)


def svg(title: str, parts: list[str]) -> str:
    """A picture that follows the light or dark theme of who looks at it."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'width="{WIDTH}" height="{HEIGHT}">\n<title>{title}</title>\n<style>\n{STYLE}\n'
        f"</style>\n{body}\n</svg>\n"
    )


# -- writing ---------------------------------------------------------------------------------------

PARTS: dict[str, Callable[[], str]] = {
    "optimizers": lambda: components(optimizer_registry),
    "schedules": lambda: components(lr_scheduler_registry),
    "implementations": implementations,
    "fields of grouping": lambda: fields(AdamWConfig, only=GroupingConfigBase),
    "fields of a rule": lambda: fields(ParameterGroupConfig),
    "fields of a selector": lambda: fields(SelectorConfig),
    "fields of linear_warmup_cosine_decay": lambda: fields(
        lr_scheduler_registry["linear_warmup_cosine_decay"]
    ),
    "fields of reduce_lr_on_plateau": lambda: fields(lr_scheduler_registry["reduce_lr_on_plateau"]),
    "bad input": bad_input,
}
PICTURES = {"docs/images/schedule.svg": schedule_picture}


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
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int("--check" in arguments and bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
