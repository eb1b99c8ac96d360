"""Drawing the charts. What is drawn comes from `charts`; matplotlib is needed here, and nowhere else.

Every chart is a card with a light ground of its own, so that it reads on a light page and on a dark one. The same input gives the same bytes.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")

from matplotlib.axes import Axes  # noqa: E402  (the backend is chosen first)
from matplotlib.figure import Figure as Canvas  # noqa: E402
from matplotlib.patches import FancyBboxPatch  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator  # noqa: E402

import charts  # noqa: E402
from charts import Figure, Reading, Run, Series, Target, grouped  # noqa: E402

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

# A chart that was drawn or not: its file's name, and what it is or why it is not.
Drawn = tuple[str, Canvas]

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
        lines = [line for text in small for line in textwrap.wrap(text, 112)]
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


def _spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Places as near as possible to the wanted ones, but so far apart, in their order; they stay between low and high if there is room."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [wanted[index] for index in order]
    for _ in range(100):
        for index in range(1, len(placed)):
            gap = placed[index] - placed[index - 1]
            if gap < apart:
                placed[index - 1] -= (apart - gap) / 2
                placed[index] += (apart - gap) / 2
        if placed:
            shift = max(low - placed[0], 0) or min(high - placed[-1], 0)
            if shift:
                placed = [place + shift for place in placed]
    found = [0.0] * len(wanted)
    for index, place in zip(order, placed, strict=True):
        found[index] = place
    return found


def _label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str, bool]]) -> None:
    """Names at the right ends of lines, moved apart where they would touch. Ends are x, y, text, colour, whether in bold."""
    height = axes.get_window_extent().height
    apart = 1.3 * NORMAL * axes.figure.dpi / 72 / height
    transform = axes.transData + axes.transAxes.inverted()
    wanted = [float(transform.transform((x, y))[1]) for x, y, *_ in ends]
    places = _spread(wanted, apart, 0.02, 0.98)
    for (x, y, text, color, bold), place in zip(ends, places, strict=True):
        axes.annotate(
            text,
            xy=(x, y),
            xytext=(1.03, place),
            textcoords="axes fraction",
            va="center",
            color=color,
            weight="bold" if bold else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "alpha": 0.6, "shrinkA": 1, "shrinkB": 4},
        )


def _plot(axes: Axes, one: Series, places: Sequence[float], style: tuple[str, str, object]) -> None:
    """A line with its intervals; `places` are where the points stand."""
    color, marker, dashes = style
    figures = [figure for _, figure in one.points]
    middles = [figure.median for figure in figures]
    errors = [[max(f.median - f.low, 0) for f in figures], [max(f.high - f.median, 0) for f in figures]]
    first = one.server == "pushletd"
    line = {"color": color, "marker": marker, "linestyle": dashes, "linewidth": 2.2 if first else 1.5, "markersize": 5}
    axes.errorbar(places, middles, yerr=errors, capsize=2.5, elinewidth=1, zorder=4 if first else 3, **line)


def _target_line(axes: Axes, bound: Target, line: Sequence[tuple[float, float]], shown: Callable[[float], str], apart: float = 0.0) -> None:
    """A target as a dashed line over the whole width, or from place to place where it is a multiple of a line."""
    values = [value for _, value in line]
    if len(set(values)) == 1:
        axes.axhline(values[0], color=TARGET, linestyle=(0, (4, 2)), linewidth=1.1, zorder=2)
    else:
        axes.plot([at for at, _ in line], values, color=TARGET, linestyle=(0, (4, 2)), linewidth=1.1, zorder=2)
    text = bound.label if bound.server else f"target: {'at most' if bound.at_most else 'at least'} {shown(bound.factor)}"
    left = axes.get_xlim()[0] if len(set(values)) == 1 else line[0][0]
    axes.annotate(text, (left, values[0]), (4, 3 + apart), textcoords="offset points", color=TARGET, size=SMALL)


def latency(reading: Reading, targets: Sequence[Target]) -> Iterable[Drawn]:
    """Delivery times by percentile, one chart for each load. Of the open loop only: in the closed loop they say little."""
    runs = [run for run in reading.runs if (run.number("rate") or 0) > 0 and run.number("delivery_us_p50")]
    for text, alike in charts.by(runs, charts.load).items():
        yield f"latency-{charts.slug(text)}", _latency(text, alike, targets)


def _latency(text: str, runs: Sequence[Run], targets: Sequence[Target]) -> Canvas:
    columns = [charts.series(runs, lambda _: 0.0, lambda run, key=f"delivery_us_{word}": run.number(key)) for word, _ in charts.PERCENTILES]
    labels = [one.label for one in columns[0]]
    lines = []
    for label in labels:
        parts = [(float(at), one.points[0][1]) for at, column in enumerate(columns) for one in column if one.label == label]
        server = next(one.server for one in columns[0] if one.label == label)
        lines.append(Series(server, label, tuple(parts)))
    late = sorted({run.server for run in runs if (run.number("events_unsent") or 0) > 0})
    small = [charts.counts(figure for one in lines for _, figure in one.points) + f"; {text}."]
    small += [f"Some runs did not keep the rate, which shows as latency: {', '.join(late)}."] * bool(late)
    card = Card("Time from publish to delivery", "by share of the deliveries; logarithmic, less is better", [*small, charts.sources(runs)], 3.5)
    axes = card.axes(0.85, 0.0, 5.6, 3.15)
    axes.set_yscale("log")
    look_of, count = styles(lines), len(lines)
    for turn, one in enumerate(lines):
        aside = (turn - (count - 1) / 2) * min(0.05, 0.3 / count)
        _plot(axes, one, [at + aside for at, _ in one.points], look_of[one.label])
    values = [value for one in lines for _, figure in one.points for value in (figure.low, figure.high) if value > 0]
    drawn = [(bound, percentile) for percentile, (word, _) in enumerate(charts.PERCENTILES) for bound in targets if bound.metric == f"delivery_us_{word}"]
    _latency_axes(axes, values + [bound.factor for bound, _ in drawn if not bound.server])
    for bound, percentile in drawn:
        _latency_target(axes, bound, percentile, columns[percentile], runs[0].word("scenario"))
    ends = [(one.points[-1][0], one.points[-1][1].median, one.label, look_of[one.label][0], one.server == "pushletd") for one in lines]
    _label_ends(axes, ends)
    return card.canvas


def _latency_axes(axes: Axes, values: Sequence[float]) -> None:
    axes.set_xlim(-0.3, len(charts.PERCENTILES) - 0.7)
    axes.set_xticks(range(len(charts.PERCENTILES)), [name for _, name in charts.PERCENTILES])
    low, high = min(values), max(values)
    axes.set_ylim(low / 1.6, high * 1.6)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [step * 10.0**power for power in range(-1, 9) for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low / 1.6 <= tick <= high * 1.6]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(microseconds))
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def _latency_target(axes: Axes, bound: Target, percentile: int, column: Sequence[Series], scenario: str) -> None:
    """A target of one percentile: a short line in its column."""
    for found, line in charts.bounds([bound], bound.metric, scenario, column):
        value = line[0][1]
        axes.plot([percentile - 0.3, percentile + 0.3], [value, value], color=TARGET, linestyle=(0, (4, 2)), linewidth=1.3, zorder=5)
        text = found.label if found.server else f"target: {'at most' if found.at_most else 'at least'} {microseconds(found.factor)}"
        axes.annotate(text, (percentile, value), (0, 4), textcoords="offset points", ha="center", color=TARGET, size=SMALL)


def throughput(reading: Reading, targets: Sequence[Target]) -> Iterable[Drawn]:
    """Deliveries a second against subscribers, of the closed loop: how much the server can do."""
    runs = [run for run in reading.runs if (run.number("rate") or 0) == 0 and (run.number("deliveries_per_second") or 0) > 0]
    runs = [run for run in runs if run.word("scenario") in ("fan-out", "unicast", "latency")]
    for text, alike in charts.by(runs, lambda run: charts.load(run, with_sessions=False)).items():
        sort = ("Deliveries a second", "from zero, more is better", "subscribers")
        canvas = _against(alike, targets, "deliveries_per_second", sort, text, short, 1.0)
        yield f"throughput-{charts.slug(text)}", canvas


def memory(reading: Reading, targets: Sequence[Target]) -> Iterable[Drawn]:
    """Resident memory against connections, and how much of it is one connection's."""
    runs = [run for run in reading.runs if run.word("scenario") == "idle" and run.number("server_resident_bytes")]
    if runs:
        sort = ("Memory of the server", "resident, all connections idle; from zero, less is better", "connections")
        yield "memory", _against(runs, targets, "server_resident_bytes", sort, "idle", _mebibytes, float(2**20))
    runs = [run for run in runs if run.number("server_bytes_per_connection")]
    if runs:
        sort = ("Memory for each connection", "growth of the resident memory while they were opened; from zero, less is better", "connections")
        yield "memory-each", _against(runs, targets, "server_bytes_per_connection", sort, "idle", _kibibytes, 1024.0)


def _mebibytes(value: float, _: object = None) -> str:
    return f"{value / 2**20:.3g} MiB"


def _kibibytes(value: float, _: object = None) -> str:
    return f"{value / 1024:.3g} KiB"


def _against(
    runs: Sequence[Run], targets: Sequence[Target], metric: str, words: tuple[str, str, str], text: str, form: Callable[..., str], unit: float
) -> Canvas:
    """A figure against the number of subscribers: lines, or bars where there is one number only."""
    title, subtitle, axis_name = words
    shown = charts.series(runs, lambda run: run.number("sessions_open") or 0.0, lambda run: run.number(metric))
    bounds = charts.bounds(targets, metric, runs[0].word("scenario"), shown)
    small = [charts.counts(figure for one in shown for _, figure in one.points) + f"; {text}."]
    vary = charts.settings_vary(runs)
    small += [f"Settings that were not alike everywhere: {'; '.join(vary)}."] * bool(vary)
    places = sorted({place for one in shown for place, _ in one.points})
    if len(places) == 1:
        body = _bars_height(len(shown), bool(bounds))
        card = Card(title, f"{grouped(places[0])} {axis_name}; {subtitle}", [*small, charts.sources(runs)], body)
        _bars(card, 0.0, shown, bounds, form)
        return card.canvas
    card = Card(title, f"against {axis_name}; {subtitle}", [*small, charts.sources(runs)], 3.7)
    axes = card.axes(1.05, 0.0, 5.4, 3.1)
    look_of = styles(shown)
    for one in shown:
        _plot(axes, one, [place for place, _ in one.points], look_of[one.label])
    wide = places[0] > 0 and places[-1] / places[0] > 30
    if wide:
        axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(_apart(places, wide)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: grouped(value)))
    axes.set_xlabel(axis_name + (", logarithmic" if wide else ""))
    tops = [figure.high for one in shown for _, figure in one.points] + [value for _, line in bounds for _, value in line]
    axes.set_ylim(0, max(tops) * 1.08)
    if unit != 1.0:
        axes.yaxis.set_major_locator(_UnitLocator(unit))
    axes.yaxis.set_major_formatter(FuncFormatter(form))
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    for bound, line in bounds:
        _target_line(axes, bound, line, form)
    ends = [(one.points[-1][0], one.points[-1][1].median, one.label, look_of[one.label][0], one.server == "pushletd") for one in shown]
    _label_ends(axes, ends)
    return card.canvas


class _UnitLocator(MaxNLocator):
    """Round ticks in a unit that is no power of ten."""

    def __init__(self, unit: float) -> None:
        super().__init__(nbins=6, steps=[1, 2, 5, 10])
        self.unit = unit

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Ticks between the two, in bytes."""
        return [tick * self.unit for tick in super().tick_values(vmin / self.unit, vmax / self.unit)]


def _apart(places: Sequence[float], wide: bool) -> list[float]:
    """The places that have room for their number on the axis; the last always has."""
    kept = [places[-1]]
    for place in reversed(places[:-1]):
        if (place <= kept[-1] / 1.7) if wide else (kept[-1] - place >= (places[-1] - places[0]) * 0.09):
            kept.append(place)
    return kept[::-1]


def _bars_height(count: int, with_target: bool) -> float:
    return 0.3 * count + 0.3 + 0.2 * with_target


def _bars(card: Card, top: float, shown: Sequence[Series], bounds: Sequence[tuple[Target, Sequence[tuple[float, float]]]], form: Callable[..., str]) -> None:
    """Bars from zero, one below the other, with name and value."""
    head = 0.2 * bool(bounds)
    axes = card.axes(2.3, top + head, 5.0, 0.3 * len(shown))
    figures = [one.points[0][1] for one in shown]
    edge = max([figure.high for figure in figures] + [line[0][1] for _, line in bounds])
    for row, (one, figure) in enumerate(zip(shown, figures, strict=True)):
        first = one.server == "pushletd"
        axes.barh(row, figure.median, height=0.68, color=look(one.server)[0], alpha=1.0 if first else 0.78, zorder=2)
        if figure.count > 1:
            errors = [[max(figure.median - figure.low, 0)], [max(figure.high - figure.median, 0)]]
            axes.errorbar(figure.median, row, xerr=errors, color=INK, capsize=2.5, elinewidth=1, zorder=4)
        axes.annotate(form(figure.median), (figure.high, row), (5, 0), textcoords="offset points", va="center", weight="bold" if first else "normal")
        axes.annotate(
            one.label, (0, row), (-6, 0), textcoords="offset points", va="center", ha="right", weight="bold" if first else "normal", annotation_clip=False
        )
    for turn, (bound, line) in enumerate(bounds):
        axes.axvline(line[0][1], color=TARGET, linestyle=(0, (4, 2)), linewidth=1.2, zorder=5)
        text = bound.label if bound.server else f"target: {'at most' if bound.at_most else 'at least'} {form(bound.factor)}"
        right = line[0][1] > edge * 0.5
        place = (-3 if right else 3, 3 + 11 * turn)
        axes.annotate(
            text, (line[0][1], 1.0), place, xycoords=("data", "axes fraction"), textcoords="offset points", color=TARGET, size=SMALL, ha="right" if right else "left"
        )
    axes.set_xlim(0, edge * 1.02)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def cpu(reading: Reading, targets: Sequence[Target]) -> Iterable[Drawn]:
    """Processor time of the server for each delivery: a chart for each scenario, a panel for each load."""
    runs = [run for run in reading.runs if (run.number("server_cpu_us_per_delivery") or 0) > 0 and run.word("scenario") != "idle"]
    for scenario, alike in charts.by(runs, lambda run: run.word("scenario")).items():
        yield f"cpu-{charts.slug(scenario)}", _cpu(scenario, alike, targets)


def _microseconds_each(value: float, _: object = None) -> str:
    return f"{value:.2f} µs"


def _cpu(scenario: str, runs: Sequence[Run], targets: Sequence[Target]) -> Canvas:
    metric = "server_cpu_us_per_delivery"
    panels = []
    for text, alike in charts.by(runs, charts.load).items():
        shown = charts.series(alike, lambda _: 0.0, lambda run: run.number(metric))
        panels.append((text.removeprefix(f"{scenario}, "), shown, charts.bounds(targets, metric, scenario, shown)))
    heights = [0.3 + _bars_height(len(shown), bool(bounds)) for _, shown, bounds in panels]
    small = [charts.counts(figure for _, shown, _ in panels for one in shown for _, figure in one.points) + "; each panel has a scale of its own, from zero."]
    card = Card(f"Processor time of the server for each delivery: {scenario}", "microseconds, user and kernel; less is better", [*small, charts.sources(runs)], sum(heights))
    top = 0.0
    for (text, shown, bounds), height in zip(panels, heights, strict=True):
        card.write(0.25, card.top + top, text, size=PANEL, weight="bold")
        _bars(card, top + 0.3, shown, bounds, _microseconds_each)
        top += height
    return card.canvas


# Every kind of chart: its name, what it needs, and what draws it.
KINDS: tuple[tuple[str, str, Callable[[Reading, Sequence[Target]], Iterable[Drawn]]], ...] = (
    ("latency", "runs with a rate and deliveries (the open loop)", latency),
    ("throughput", "runs without a rate and with deliveries (the closed loop)", throughput),
    ("cpu", "runs with --server-pid and deliveries", cpu),
    ("memory", "runs of the scenario idle with --server-pid", memory),
)


def save(canvas: Canvas, path: Path) -> None:
    """Writes an SVG or a PNG, by the path's suffix, without anything that changes from day to day."""
    if path.suffix == ".svg":
        canvas.savefig(path, format="svg", metadata={"Date": None, "Creator": "pushletd perf/plot"}, transparent=False, facecolor="none")
    else:
        canvas.savefig(path, format="png", dpi=192, metadata={"Software": None}, facecolor="none")
