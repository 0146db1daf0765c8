"""Pictures of schedules for notebooks, the terminal and files."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from nshtrainer.escaping import printable, without_commands, xml_text
from nshtrainer.exceptions import ConfigError
from nshtrainer.plotting.figure import Plot, figure_of

if TYPE_CHECKING:
    from nshtrainer.config.files import FilePath

__all__ = ["FORMATS", "Picture", "rendered"]

FORMATS = (".svg", ".html", ".png", ".csv", ".json")
"""The suffixes of the files that schedules are written to."""

_PAPER = """
svg { background: #ffffff }
@media (prefers-color-scheme: dark) { svg { background: #0d1117 } }"""
"""A notebook may be dark where the system is light, or the other way round."""


@dataclass(frozen=True, repr=False)
class Picture:
    """Schedules drawn one over the other: shown by notebooks, printed as text, saved to a file.

    `a + b` draws the schedules of both pictures; `print` draws in the terminal.

    Args:
        plots: The schedules, each with its label.

    >>> from nshtrainer.configs import CosineScheduleConfig, LinearScheduleConfig
    >>> both = CosineScheduleConfig().plot(total_steps=100) + LinearScheduleConfig().plot(
    ...     total_steps=100
    ... )
    >>> both
    <Picture of cosine: cosine 0 to 100, last update ...; linear: linear 0 to 100, last update ...>
    >>> both.save("both.svg")
    """

    plots: tuple[Plot, ...]

    def __add__(self, other: Picture) -> Picture:
        if not isinstance(cast("Any", other), Picture):
            return NotImplemented
        plots = {plot.label: plot for plot in self.plots}
        for plot in other.plots:
            label = _free(plot.label, plots)
            plots[label] = replace(plot, label=label)
        return Picture(tuple(plots.values()))

    def save(self, path: FilePath) -> None:
        """Write the picture in the format of the suffix: .svg, .html, .png, .csv or .json.

        Args:
            path: The file, which is replaced if it exists.

        Raises:
            ConfigError: The suffix is unknown, the file cannot be written, or a package for PNG is
                not installed.
        """
        from nshtrainer.config.files import write_file

        suffix = Path(fsdecode(path)).suffix.lower()
        if suffix not in FORMATS:
            raise ConfigError(
                f"{fsdecode(path)}: unsupported suffix; use one of {', '.join(FORMATS)}"
            )
        write_file(path, rendered(self.plots, suffix))

    @override
    def __repr__(self) -> str:
        return without_commands(f"<Picture of {'; '.join(self._notes())}>")

    @override
    def __str__(self) -> str:
        from nshtrainer.plotting.terminal import text

        return without_commands(text(figure_of(self.plots)))

    def _notes(self) -> list[str]:
        return [printable(f"{plot.label}: {plot.description}") for plot in self.plots]

    def _repr_svg_(self) -> str:
        from nshtrainer.plotting.svg import STYLE, svg

        return svg(figure_of(self.plots), STYLE + _PAPER)

    def _repr_html_(self) -> str:
        """Return the picture as an image, so that its styles do not reach the notebook."""
        image = b64encode(self._repr_svg_().encode()).decode()
        notes = xml_text("; ".join(self._notes()))
        return f'<img src="data:image/svg+xml;base64,{image}" alt="{notes}"/><div>{notes}</div>'


def _free(label: str, taken: Mapping[str, object]) -> str:
    numbers = (f"{label} ({number})" for number in range(2, len(taken) + 2))
    return label if label not in taken else next(each for each in numbers if each not in taken)


def rendered(plots: Sequence[Plot], suffix: str, title: str = "") -> str | bytes:
    """Render schedules in the format of a suffix.

    Args:
        plots: The schedules to draw, one over the other.
        suffix: One of `FORMATS`.
        title: The title above the picture; left out, the label of a single plot.

    Raises:
        ConfigError: resvg-py or a font for a PNG is not installed, or the picture is too tall.
        ValueError: The suffix is unknown.
    """
    if suffix in {".csv", ".json"}:
        from nshtrainer.plotting.data import as_csv, as_json

        return as_csv(plots) if suffix == ".csv" else as_json(plots)
    figure = figure_of(plots, title)
    if suffix == ".svg":
        from nshtrainer.plotting.svg import svg

        return svg(figure)
    if suffix == ".html":
        from nshtrainer.plotting.page import page

        return page(figure)
    if suffix == ".png":
        from nshtrainer.plotting.png import png

        return png(figure)
    raise ValueError(f"{suffix!r} is no format of a picture (there are: {', '.join(FORMATS)})")
