# SPDX-License-Identifier: Apache-2.0
"""What all figures share: size, type, colors that color-blind readers can tell apart, and how they are saved."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from torch import Tensor

from monai_cl_ext.names import file_name, visible

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
LineStyle: TypeAlias = Literal["-", "--", "-.", ":"]

# Okabe and Ito's palette, in an order whose neighbors differ in lightness too
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D1F", "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
INK, PALE = "#222222", "#E4E4E4"

WIDTH = 4.4  # inches: about the width of a phone, so that type keeps its size there and figures stand side by side
FONTS = (
    "DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "Yu Gothic",
    "Malgun Gothic", "Hiragino Sans", "PingFang SC", "Arial Unicode MS",
)  # fmt: skip
"""The first comes with matplotlib; the others have the characters of Chinese, Japanese and Korean names."""
INSTALLED = [name for name in FONTS if name in set(font_manager.get_font_names())]
STYLE: dict[Any, Any] = {
    "font.family": INSTALLED,
    "text.parse_math": False,  # names may hold dollars
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EBEBEB",
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "monai_cl_ext",
}


def styled(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Runs a function that draws in the common style; matplotlib reads it as each part is made."""
    return matplotlib.rc_context(STYLE)(draw)


@dataclass
class Drawing:
    """A figure and what the page says of it.

    Attributes:
        name: of its files, without suffix, see ``names.file_name``.
        title: of a few words.
        caption: what is seen, and how it was made.
        figure: in matplotlib.
        photographic: whether the page shows it as PNG; lines and dots are shown as SVG.
        hover: what a page needs to name the cell under the pointer, see ``draw_pair_map``.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    photographic: bool = False
    hover: dict[str, Any] = field(default_factory=dict)

    @styled
    def save(self, folder: Path) -> str:
        """Writes PNG and SVG into the folder; returns the data URI of the one that a page shows."""
        folder.mkdir(parents=True, exist_ok=True)
        png, svg = (folder / f"{file_name(self.name)}.{suffix}" for suffix in ("png", "svg"))
        self.figure.savefig(png, dpi=160)
        self.figure.savefig(svg, metadata={"Date": None})
        kind, path = ("png", png) if self.photographic else ("svg+xml", svg)
        return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def new_figure(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, NDArray[Any]]:
    """A figure of the common width, ``height`` inches high, and its axes (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def look(number: int) -> tuple[str, str, LineStyle]:
    """Color, marker and line style of a run or method by its number; the first 32 differ."""
    turn = number // len(COLORS)
    return COLORS[number % len(COLORS)], MARKERS[(number + 3 * turn) % len(MARKERS)], LINES[turn % len(LINES)]


def wrap(text: str, width: int) -> str:
    """The text in lines of at most ``width`` characters, broken after blanks, + - _ / where there are such.

    A text of more than eight lines loses its middle.
    """
    lines = [""]
    for part in re.split(r"(?<=[ +_/-])", shorten(text, 8 * width)):
        if lines[-1] and len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(line.rstrip() for line in lines)


def legend_height(names: Sequence[str]) -> float:
    """Inches that :func:`add_legend` takes."""
    labels, columns = legend_labels(names)
    lines = sum(label.count("\n") + 1 for label in labels)
    return 0.17 * (lines if columns == 1 else (lines + 1) // 2) + 0.1


def add_legend(figure: Figure, names: Sequence[str], lines: bool = False) -> None:
    """A legend above the axes, each name with its :func:`look`, in one column where names are long.

    Args:
        figure: with the common layout.
        names: in the order of their numbers.
        lines: whether the figure has lines; else it has markers alone.
    """
    labels, columns = legend_labels(names)
    handles = [
        Line2D([], [], linestyle=line if lines else "none", marker=marker, markersize=4.7, color=color)
        for color, marker, line in map(look, range(len(names)))
    ]
    name_handles(figure, handles, labels, ncols=columns)


def name_handles(figure: Figure, handles: Sequence[Artist], names: Sequence[str], **look: Any) -> None:
    """A legend above the axes whose names may begin with an underscore; matplotlib leaves out such labels.

    Args:
        figure: with the common layout.
        handles: what is named.
        names: of the handles, as they are drawn.
        look: of ``Figure.legend``.
    """
    numbers = [str(number) for number in range(len(names))]
    legend = figure.legend(handles, numbers, **{"loc": "outside upper center", "fontsize": 8.5, **look})
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def legend_labels(names: Sequence[str]) -> tuple[list[str], int]:
    """Names as a legend draws them, and in how many columns."""
    columns = 2 if max(len(drawable(name)) for name in names) <= 24 else 1
    return [wrap(name, 24 if columns == 2 else 50) for name in names], columns


def show_image(axes: Axes, image: Tensor | NDArray[Any], **kwargs: Any) -> None:
    """Shows an image (H, W) as volumes are stored: the first axis to the right, the second up."""
    axes.imshow(
        np.rot90(np.asarray(image, dtype=np.float32)), **{"cmap": "gray", "interpolation": "bilinear", **kwargs}
    )
    axes.set_axis_off()


def shorten(text: str, length: int = 26) -> str:
    """The text as :func:`drawable`, or its beginning and end around an ellipsis where it is longer than ``length``."""
    text, half = drawable(text), (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def drawable(text: str) -> str:
    """The text with an escape, such as ``\\n``, for each character that is not seen or that no font here has."""
    known = _characters()
    return "".join(
        character if ord(character) in known else character.encode("unicode_escape").decode()
        for character in visible(text)
    )


@cache
def _characters() -> frozenset[int]:
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in INSTALLED]
    return frozenset().union(*(font.get_charmap() for font in fonts))
