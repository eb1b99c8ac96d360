"""What every chart is made of: the card, looks of the servers, lines with names at their ends, targets, and writing to a file.

matplotlib is needed here. Every chart is a card with a light ground of its own, so that it reads on a light page and on a dark one. The same input
gives the same bytes.
"""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")

from charts import Series, Target, grouped  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402  (the backend is chosen first)
from matplotlib.figure import Figure as Canvas  # noqa: E402
from matplotlib.patches import FancyBboxPatch  # noqa: E402

WIDTH = 8.4
# Points; 8.5 of them are 11.3 pixels.
SMALL, NORMAL, PANEL, TITLE = 8.5, 9.5, 10.5, 13.5
INK, FAINT, GRID, GROUND, EDGE, TARGET = "#1f2328", "#57606a", "#dfe3e8", "#fdfdfb", "#c9d1d9", "#a40e26"
# Colours that people with any kind of sight tell apart, and a marker for whoever prints in grey.
_LOOKS = {
    "pushletd": ("#0b5cad", "o"),
    "nchan": ("#d55e00", "s"),
    "uws": ("#00795a", "^"),
    "pushpin": ("#b0508c", "D"),
    "nats": ("#2a9fd6", "v"),
    "redis": ("#8c1d18", "P"),
    "socket.io": ("#444444", "X"),
    "faye": ("#a67c00", "<"),
    "floor": ("#7d8590", "d"),
    "nginx": ("#6f7f2f", ">"),
}
_DASHES = ("-", (0, (5, 1.6)), (0, (1.5, 1.3)), (0, (6, 1.5, 1.5, 1.5)))

matplotlib.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": NORMAL,
        "svg.fonttype": "path",
        "svg.hashsalt": "pushletd",
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "path.simplify": False,
    }
)


def look(server: str) -> tuple[str, str]:
    """Colour and marker of a server, always the same ones."""
    return _LOOKS.get(server, ("#5b4b9a", "h"))


def styles(shown: Sequence[Series]) -> dict[str, tuple[str, str, object]]:
    """Colour, marker and dashes by label: those of one server differ by their dashes."""
    seen: dict[str, int] = {}
    found = {}
    for one in shown:
        turn = seen.get(one.server, 0)
        seen[one.server] = turn + 1
        found[one.label] = (*look(one.server), _DASHES[turn % len(_DASHES)])
    return found


class Card:
    """A chart in the making: ground, title, small print; lengths are inches from the top left."""

    def __init__(self, title: str, subtitle: str, small: Sequence[str], body: float) -> None:
        lines = [line for text in small for line in textwrap.wrap(text, 130)]
        self.top, self.body = 0.86, body
        self.height = self.top + body + 0.24 + 0.165 * len(lines)
        self.canvas = Canvas(figsize=(WIDTH, self.height), facecolor="none")
        # In the units of a transform to inches the corners are round and not oval.
        ground = FancyBboxPatch(
            (0.02, 0.02),
            WIDTH - 0.04,
            self.height - 0.04,
            boxstyle="round,pad=0,rounding_size=0.1",
            transform=self.canvas.dpi_scale_trans,
            facecolor=GROUND,
            edgecolor=EDGE,
            linewidth=1,
            zorder=-10,
        )
        self.canvas.add_artist(ground)
        self.write(0.25, 0.22, title, size=TITLE, weight="bold")
        self.write(0.25, 0.52, subtitle, color=FAINT)
        for number, line in enumerate(lines):
            self.write(0.25, self.top + body + 0.09 + 0.165 * number, line, size=SMALL, color=FAINT)

    def write(self, left: float, top: float, text: str, **how: object) -> None:
        """Text whose upper left corner is there."""
        how.setdefault("va", "top")
        self.canvas.text(left / WIDTH, 1 - top / self.height, text, **how)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes within the body."""
        place = (left / WIDTH, 1 - (self.top + top + height) / self.height, width / WIDTH, height / self.height)
        axes = self.canvas.add_axes(place, facecolor="none")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=3)
        axes.set_axisbelow(True)
        return axes


def microseconds(value: float, _: object = None) -> str:
    """A time in its natural unit, three digits at most."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} µs"


def short(value: float, _: object = None) -> str:
    """A count for an axis or a bar: 1.2 million, 350,000."""
    return f"{value / 1e6:.3g} million" if value >= 1e6 else grouped(float(f"{value:.3g}"))


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Places as near as possible to the wanted ones, but so far apart, in their order; between low and high if there is room for all."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    # Heaps of names that touch: the middle of each, and who is in it.
    heaps: list[tuple[float, list[int]]] = []
    for index in order:
        middle, members = min(max(wanted[index], low), high), [index]
        while heaps and middle - heaps[-1][0] < apart * (len(members) + len(heaps[-1][1])) / 2:
            members = heaps.pop()[1] + members
            half = apart * (len(members) - 1) / 2
            middle = sum(wanted[member] for member in members) / len(members)
            middle = max(min(middle, high - half), low + half)
        heaps.append((middle, members))
    found = [0.0] * len(wanted)
    for middle, members in heaps:
        for turn, index in enumerate(members):
            found[index] = middle + apart * (turn - (len(members) - 1) / 2)
    return found


@dataclass(frozen=True)
class End:
    """The right end of a line, and what is to be written there."""

    x: float
    y: float
    text: str
    color: str
    bold: bool = False


def ends(shown: Sequence[Series], look_of: dict[str, tuple[str, str, object]]) -> list[End]:
    return [End(one.points[-1][0], one.points[-1][1].median, one.label, look_of[one.label][0], one.server == "pushletd") for one in shown]


def label_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Names at the right ends of lines, moved apart where they would touch."""
    apart = 1.35 * NORMAL * axes.figure.dpi / 72 / axes.get_window_extent().height
    transform = axes.transData + axes.transAxes.inverted()
    wanted = [float(transform.transform((end.x, end.y))[1]) for end in ends]
    for end, place in zip(ends, spread(wanted, apart, 0.0, 1.0), strict=True):
        axes.annotate(
            end.text,
            xy=(end.x, end.y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            va="center",
            color=end.color,
            # A target may be long, and there is no more room at its right.
            size=SMALL if len(end.text) > 20 else NORMAL,
            weight="bold" if end.bold else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": end.color, "linewidth": 0.7, "alpha": 0.7, "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 4},
        )


def plot(axes: Axes, one: Series, style: tuple[str, str, object]) -> None:
    """A line with its intervals."""
    color, marker, dashes = style
    figures = [figure for _, figure in one.points]
    middles = [figure.median for figure in figures]
    errors = [[max(f.median - f.low, 0) for f in figures], [max(f.high - f.median, 0) for f in figures]]
    first = one.server == "pushletd"
    line = {"color": color, "marker": marker, "linestyle": dashes, "linewidth": 2.2 if first else 1.5, "markersize": 5}
    axes.errorbar([place for place, _ in one.points], middles, yerr=errors, capsize=2.5, elinewidth=1, zorder=4 if first else 3, **line)


def wanted(bound: Target, form: Callable[[float], str]) -> str:
    """A target as it stands at its line."""
    value = f"{bound.factor:g} × {bound.other}" if bound.other else form(bound.factor)
    side = f" {bound.side}" if bound.side not in ("", "pushletd") else ""
    return f"target{side} {relation(bound)} {value}"


def relation(bound: Target) -> str:
    if bound.strict:
        return "<" if bound.at_most else ">"
    return "≤" if bound.at_most else "≥"


DASHED = {"color": TARGET, "linestyle": (0, (4, 2)), "linewidth": 1.2}
# Behind text that stands on lines.
BEHIND = {"facecolor": GROUND, "edgecolor": "none", "alpha": 0.88, "pad": 0.8}


def target_line(axes: Axes, bound: Target, line: Sequence[tuple[float, float]], form: Callable[[float], str]) -> End:
    """A target as a dashed line: over the whole width, or from place to place where it is a multiple of another line or not of all places."""
    everywhere = not bound.other and not bound.case
    if everywhere:
        axes.axhline(line[0][1], zorder=2.5, **DASHED)
    else:
        axes.plot([at for at, _ in line], [value for _, value in line], zorder=5, marker="_", markersize=14, **DASHED)
    right = axes.get_xlim()[1] if everywhere else line[-1][0]
    return End(right, line[-1][1], wanted(bound, form), TARGET)


def save(canvas: Canvas, path: Path) -> None:
    """Writes an SVG or a PNG, by the path's suffix, without anything that changes from day to day."""
    if path.suffix == ".svg":
        canvas.savefig(path, format="svg", metadata={"Date": None, "Creator": "pushletd perf/plot"}, transparent=False, facecolor="none")
    else:
        canvas.savefig(path, format="png", dpi=192, metadata={"Software": None}, facecolor="none")
