"""A figure as PNG: the SVG on white, rendered by resvg where that is installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nshtrainer.exceptions import ConfigError
from nshtrainer.plotting.svg import STYLE, Layout, svg

if TYPE_CHECKING:
    from nshtrainer.plotting.figure import Figure

__all__ = ["png"]

_FONTS = (
    '"DejaVu Sans", "Segoe UI", Arial, Helvetica, "Liberation Sans", "Noto Sans", "Open Sans", '
    'Roboto, Ubuntu, Cantarell, "Adwaita Sans", FreeSans'
)
"""Font families, one of which nearly every system with fonts has: resvg does not know which
fonts the system uses for `system-ui` and `sans-serif`."""

_TALLEST = 16_384
"""Pixels of the SVG; at twice the size a picture of that height takes 200 MB to draw."""

# resvg has no variables; it leaves the colors of the dark theme out.
_LIGHT = dict(re.findall(r"--(\w+): (#\w+)", STYLE.partition("@media")[0]))
_STYLE = re.sub(
    r"var\(--(\w+)\)", lambda found: _LIGHT[found[1]], STYLE.replace("system-ui", _FONTS)
)
_PROBE = f"""\
<svg xmlns="http://www.w3.org/2000/svg"><style>{_STYLE}</style><text y="12">0</text></svg>"""


def png(figure: Figure) -> bytes:
    """Draw a figure as a picture with a white ground.

    Args:
        figure: Panels and texts to draw.

    Raises:
        ConfigError: resvg-py or a font is not installed, or the picture is too tall.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError as error:
        text = "a PNG needs resvg-py; install it with: pip install 'nshtrainer[plot]'"
        raise ConfigError(f"{text}; an .svg or .html file needs nothing") from error
    # resvg leaves out text without a font, silently.
    if svg_to_bytes(_PROBE) == svg_to_bytes(_PROBE, skip_system_fonts=True):
        text = "a PNG needs a font such as DejaVu Sans, Noto Sans or Arial, and found none"
        raise ConfigError(
            f"{text}; install one (Debian: fonts-dejavu-core); an .svg or .html file needs none"
        )
    if (height := Layout(figure).height) > _TALLEST:
        text = f"the picture is {height:,} pixels tall, too many for a PNG"
        raise ConfigError(f"{text}; write an .svg or .html file")
    return svg_to_bytes(svg(figure, _STYLE), background="white", zoom=2)
