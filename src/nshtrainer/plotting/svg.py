"""A figure as SVG without dependencies, which follows a light or dark theme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nshtrainer.escaping import xml_text
from nshtrainer.plotting.figure import Figure, Line, Panel, Span

__all__ = ["STYLE", "Box", "Layout", "svg", "text_width"]

_LIGHT = ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#1b7c83")
_DARK = ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#f778ba", "#39c5cf")
_DASHES = ("none", "7 4", "2 3", "10 3 2 3", "14 4", "5 2 1 2")


def _colours(values: tuple[str, ...]) -> str:
    return " ".join(f"--c{place}: {value};" for place, value in enumerate(values))


def _styles() -> str:
    return "\n".join(
        f".s{place} {{ stroke: var(--c{place}); stroke-dasharray: {dash} }}"
        for place, dash in enumerate(_DASHES)
    )


STYLE = f"""\
svg {{ --ink: #1f2328; --soft: #59636e; --rule: #d1d9e0; --band: #818b981a; {_colours(_LIGHT)} }}
@media (prefers-color-scheme: dark) {{
svg {{ --ink: #f0f6fc; --soft: #9198a1; --rule: #3d444d; --band: #656c7626; {_colours(_DARK)} }}
}}
text {{ font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--soft) }}
.title {{ font-size: 14px; font-weight: 600; fill: var(--ink) }}
.name {{ fill: var(--ink) }}
.phase {{ font-size: 11px }}
.axis {{ stroke: var(--soft); fill: none }}
.grid {{ stroke: var(--rule); fill: none }}
.edge {{ stroke: var(--soft); stroke-dasharray: 2 3; opacity: .6 }}
.band {{ fill: var(--band) }}
.line {{ fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }}
{_styles()}
.dot {{ fill: none; stroke-width: 1.5; stroke-dasharray: none }}"""


@dataclass(frozen=True)
class Box:
    """The area of a panel's curves, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


class Layout:
    """The positions of all elements in a picture.

    Args:
        figure: The figure to draw.
        width: The width of the picture, in pixels.
    """

    def __init__(self, figure: Figure, width: int = 720) -> None:
        height = 240 if len(figure.panels) == 1 else 160
        self.figure = figure
        self.width = width
        labels = [label for panel in figure.panels for label in panel.axis.labels]
        left = 22 + max(map(text_width, labels))
        top = 30.0 if figure.title else 10.0
        self.legend = list(self._legend(left, top))
        if self.legend:
            top = self.legend[-1][2] + 14
        self.boxes: list[Box] = []
        for _ in figure.panels:
            top += 42
            self.boxes.append(Box(left, top, width - 24, top + height))
            top += height + 28
        self.height = round(top + 20)

    def _legend(self, left: float, top: float) -> Iterator[tuple[int, float, float]]:
        """Yield the style, the left and the middle of each legend entry; full rows wrap."""
        if len(self.figure.names) < 2:
            return
        x, y = left, top + 10
        for style, name in enumerate(self.figure.names):
            needed = 34 + text_width(name)
            if x > left and x + needed > self.width - 24:
                x, y = left, y + 20
            yield style, x, y
            x += needed + 22

    def x(self, value: float) -> float:
        """Return the horizontal position of a step or a time."""
        box = self.boxes[0]
        return round(box.left + (box.right - box.left) * self.figure.axis.share(value), 1)

    def y(self, place: int, value: float) -> float:
        """Return the vertical position of a value in the panel with a number."""
        box = self.boxes[place]
        share = self.figure.panels[place].axis.share(value)
        return round(box.bottom - (box.bottom - box.top) * share, 1)


def text_width(text: str) -> float:
    """Estimate the width of a text, in pixels: the font is unknown.

    >>> text_width("warm-up") < text_width("cosine cycles")
    True
    """
    return sum(3.6 if letter in "iljtf.,:;|'() " else 7.2 for letter in text)


def svg(figure: Figure, style: str = STYLE) -> str:
    """Draw a figure as a document.

    Args:
        figure: Panels and texts to draw.
        style: The style sheet; the default follows a light or dark theme.
    """
    layout = Layout(figure)
    body = "\n".join(_parts(layout))
    spoken = xml_text("; ".join([figure.title, *figure.notes]).strip("; "))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} {layout.height}" '
        f'width="{layout.width}" height="{layout.height}" role="img">\n<title>{spoken}</title>\n'
        f"<style>\n{style}\n</style>\n{body}\n</svg>\n"
    )


def _parts(layout: Layout) -> Iterator[str]:
    figure = layout.figure
    if figure.title:
        yield _text(layout.boxes[0].left, 24, figure.title, "start", "title")
    for style, x, y in layout.legend:
        yield f'<path class="line s{style % len(_DASHES)}" d="M{x:.1f} {y:.1f}h26"/>'
        yield _text(x + 34, y + 4, figure.names[style], "start", "name")
    for place, panel in enumerate(figure.panels):
        yield f'<g id="panel-{place}">'
        yield from _phases(layout, place, panel)
        yield from _frame(layout, place, panel)
        for line in reversed(panel.lines):
            yield from _curve(layout, place, line)
        yield "</g>"
    middle = (layout.boxes[0].left + layout.boxes[0].right) / 2
    yield _text(middle, layout.height - 6, figure.axis.title, "middle")


def _frame(layout: Layout, place: int, panel: Panel) -> Iterator[str]:
    """Yield both axes with ticks and grid, and the title of the panel."""
    box = layout.boxes[place]
    yield _text(10, box.top - 24, panel.axis.title, "start", "name")
    for tick, label in zip(panel.axis.ticks, panel.axis.labels, strict=True):
        y = layout.y(place, tick)
        yield f'<path class="grid" d="M{box.left} {y}H{box.right}"/>'
        yield _text(box.left - 8, y + 4, label, "end")
    for tick, label in zip(layout.figure.axis.ticks, layout.figure.axis.labels, strict=True):
        x = layout.x(tick)
        yield f'<path class="axis" d="M{x} {box.bottom}v5"/>'
        yield _text(x, box.bottom + 19, label, "middle")
    yield f'<path class="axis" d="M{box.left} {box.bottom}H{box.right}"/>'


def _phases(layout: Layout, place: int, panel: Panel) -> Iterator[str]:
    """Yield a band for every other phase, a line at its start, and its label if there is room."""
    box, spans = layout.boxes[place], panel.spans
    many = len(spans) > 40
    free = box.left
    for number, span in enumerate(() if many else spans):
        start, end = layout.x(span.start), layout.x(span.end)
        if number % 2:
            wide = f'width="{end - start:.1f}" height="{box.bottom - box.top}"'
            yield f'<rect class="band" x="{start}" y="{box.top}" {wide}/>'
        if number:
            yield f'<path class="edge" d="M{start} {box.top}V{box.bottom}"/>'
        x = max(start + 3, free)
        if _has_room(layout, spans, number, x):
            yield _text(x, box.top - 6, span.label, "start", "phase")
            free = x + text_width(span.label) + 8


def _has_room(layout: Layout, spans: tuple[Span, ...], number: int, x: float) -> bool:
    """Return True if a label has room; it may reach a little into the next phase."""
    start, end = layout.x(spans[number].start), layout.x(spans[number].end)
    needed = x + 0.92 * text_width(spans[number].label)
    following = layout.x(spans[number + 1].end) if number + 1 < len(spans) else end
    reach = end if following - end < 60 else end + 40
    return x <= max(end, start + 24) and needed <= max(reach, end)


def _curve(layout: Layout, place: int, line: Line) -> Iterator[str]:
    """Yield a curve; if its phases differ from the other curves', with a dot at each start."""
    points = [(layout.x(x), layout.y(place, y)) for x, y in zip(line.xs, line.ys, strict=True)]
    style = f"s{line.style % len(_DASHES)}"
    text = " ".join(f"{x:g},{y:g}" for x, y in dict.fromkeys(points))
    yield f'<polyline class="line {style}" points="{text}"/>'
    if layout.figure.panels[place].spans or len(line.spans) > 40:
        return
    heights = dict(zip(line.xs, line.ys, strict=True))
    for span in line.spans[1:]:
        x, y = layout.x(span.start), layout.y(place, heights[span.start])
        yield f'<circle class="dot {style}" cx="{x}" cy="{y}" r="3.5"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    of = f' class="{kind}"' if kind else ""
    return f'<text{of} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{xml_text(text)}</text>'
