"""A figure as text for a terminal: braille dots, two by four in each character."""

from __future__ import annotations

from collections.abc import Iterator

from nshtrainer.plotting.figure import Figure, Line, Panel

__all__ = ["text"]

_ROWS = 14
_COLOURS = (34, 33, 32, 35, 31, 36)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_NARROWEST = 40


def text(figure: Figure, width: int = 80, *, colour: bool = False, ascii_only: bool = False) -> str:
    """Return the figure as lines of text, none of them wider than `width`.

    Several curves are marked by a letter at regular distances, and by colors if the terminal has
    them.

    Args:
        figure: The figure to draw.
        width: Characters in a line.
        colour: The terminal shows colors.
        ascii_only: The terminal shows ASCII alone.
    """
    paper = _Paper(figure, max(width, _NARROWEST), colour=colour, ascii_only=ascii_only)
    return "\n".join(line.rstrip() for line in paper.lines()) + "\n"


class _Paper:
    """The characters of a picture.

    Args:
        figure: The figure to draw.
        width: Characters in a line.
        colour: Color the curves.
        ascii_only: Use ASCII characters alone.
    """

    def __init__(self, figure: Figure, width: int, *, colour: bool, ascii_only: bool) -> None:
        labels = [label for panel in figure.panels for label in panel.axis.labels]
        self.figure = figure
        self.colour = colour
        self.ascii_only = ascii_only
        self.margin = max(map(len, labels)) + 1
        self.columns = width - self.margin - 1 - _overhang(figure)
        self.width = width
        self.side, self.tick, self.foot, self.notch, self.edge = (
            ("|", "+", "-", "+", ":") if ascii_only else ("│", "┤", "─", "┬", "┊")
        )

    def lines(self) -> Iterator[str]:
        """Yield all lines, from the top."""
        if self.figure.title:
            yield self.figure.title
        if len(self.figure.names) > 1:
            yield from self._legend()
        for panel in self.figure.panels:
            yield ""
            yield from self._panel(panel)
        yield " " * (self.margin + 1) + self.figure.axis.title.center(self.columns)

    def _legend(self) -> Iterator[str]:
        for style, name in enumerate(self.figure.names):
            yield f"  {self._painted(_letter(style), style)}  {name}"

    def _painted(self, character: str, style: int) -> str:
        if not self.colour:
            return character
        return f"\x1b[{_COLOURS[style % len(_COLOURS)]}m{character}\x1b[0m"

    # -- a panel -----------------------------------------------------------------------------

    def _panel(self, panel: Panel) -> Iterator[str]:
        cells = _Cells(self.columns, self.ascii_only)
        edges = {self._column(span.start) for span in panel.spans[1:]}
        for line in reversed(panel.lines):
            cells.draw(
                [self._dot(panel, x, y) for x, y in zip(line.xs, line.ys, strict=True)], line
            )
        if len(self.figure.names) > 1:
            for line in panel.lines:
                cells.sign(line, len(self.figure.names))
        yield panel.axis.title
        if panel.spans:
            yield " " * (self.margin + 1) + self._phase_labels(panel)
        heights = {self._row(panel, tick): label for tick, label in _ticks(panel)}
        for row in range(_ROWS):
            label = heights.get(row, "")
            side = self.tick if label else self.side
            drawn = (self._cell(cells, row, column, edges) for column in range(self.columns))
            yield f"{label:>{self.margin}}{side}{''.join(drawn)}"
        yield from self._foot()

    def _cell(self, cells: _Cells, row: int, column: int, edges: set[int]) -> str:
        character, style = cells.at(row, column)
        if character:
            return self._painted(character, style)
        return self.edge if column in edges else " "

    def _phase_labels(self, panel: Panel) -> str:
        """Return the name of each phase above its start, where there is room for it."""
        written = ""
        for span in panel.spans:
            column = max(self._column(span.start), len(written) + bool(written))
            near = column <= self._column(span.end)
            if near and column + len(span.label) <= self.columns:
                written = written.ljust(column) + span.label
        return written

    def _foot(self) -> Iterator[str]:
        """Yield the axis, and the labels below it."""
        axis = self.figure.axis
        rule, labels = [self.foot] * self.columns, [" "] * (self.width + 8)
        free = 0
        for tick, label in zip(axis.ticks, axis.labels, strict=True):
            column = self._column(tick)
            rule[column] = self.notch
            start = max(0, self.margin + 1 + column - len(label) // 2)
            if start >= free:
                labels[start : start + len(label)] = label
                free = start + len(label) + 2
        corner = "+" if self.ascii_only else "└"
        yield f"{' ' * self.margin}{corner}{''.join(rule)}"
        yield "".join(labels)[: self.width]

    # -- places ------------------------------------------------------------------------------

    def _column(self, value: float) -> int:
        return round(self.figure.axis.share(value) * (self.columns - 1))

    def _row(self, panel: Panel, value: float) -> int:
        return round((1 - panel.axis.share(value)) * (4 * _ROWS - 1)) // 4

    def _dot(self, panel: Panel, x: float, y: float) -> tuple[int, int]:
        """Return the dot of a point: columns from the left, rows from the top."""
        across = round(self.figure.axis.share(x) * (2 * self.columns - 1))
        return across, round((1 - panel.axis.share(y)) * (4 * _ROWS - 1))


def _overhang(figure: Figure) -> int:
    """Return the most columns that the label of the last tick needs beyond the axis."""
    return (len(figure.axis.labels[-1]) + 1) // 2


def _ticks(panel: Panel) -> Iterator[tuple[float, str]]:
    return zip(panel.axis.ticks, panel.axis.labels, strict=True)


def _letter(style: int) -> str:
    return _LETTERS[style % len(_LETTERS)]


class _Cells:
    """Braille dots, four rows and two columns in each character."""

    def __init__(self, columns: int, ascii_only: bool) -> None:
        self._columns = columns
        self._ascii = ascii_only
        self._dots: dict[tuple[int, int], int] = {}
        self._styles: dict[tuple[int, int], int] = {}
        self._signs: dict[tuple[int, int], str] = {}
        self._heights: dict[int, dict[int, int]] = {}

    def draw(self, points: list[tuple[int, int]], line: Line) -> None:
        """Set the dots along straight lines from point to point."""
        heights = self._heights.setdefault(id(line), {})
        for first, second in zip(points, points[1:] or points, strict=False):
            for x, y in _between(first, second):
                cell = (y // 4, x // 2)
                self._dots[cell] = self._dots.get(cell, 0) | _DOTS[y % 4][x % 2]
                self._styles[cell] = line.style
                heights.setdefault(cell[1], cell[0])

    def sign(self, line: Line, lines: int) -> None:
        """Put the letter of a line on it, at columns without letters of other lines."""
        every = max(1, self._columns // 4)
        first = round((line.style + 0.5) * every / lines)
        for column, row in self._heights[id(line)].items():
            if column % every == first % every:
                self._signs[row, column] = _letter(line.style)
                self._styles[row, column] = line.style

    def at(self, row: int, column: int) -> tuple[str, int]:
        """Return the character of a cell, or an empty text, and its style."""
        cell = (row, column)
        if cell in self._signs:
            return self._signs[cell], self._styles[cell]
        dots = self._dots.get(cell, 0)
        if not dots:
            return "", 0
        return "*" if self._ascii else chr(0x2800 + dots), self._styles[cell]


def _between(first: tuple[int, int], second: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the dots of a straight line."""
    across, down = second[0] - first[0], second[1] - first[1]
    count = max(abs(across), abs(down), 1)
    for number in range(count + 1):
        yield first[0] + round(across * number / count), first[1] + round(down * number / count)
