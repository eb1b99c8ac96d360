"""Drawing the charts. What is drawn comes from `charts`; matplotlib is needed here, and nowhere else.

Every chart is a card with a light ground of its own, so that it reads on a light page and on a dark one. The same input gives the same bytes.
"""

import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import charts  # noqa: E402
from charts import Bounds, Reading, Run, Series, Target, grouped  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402  (the backend is chosen first)
from matplotlib.figure import Figure as Canvas  # noqa: E402
from matplotlib.patches import FancyBboxPatch  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator  # noqa: E402

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

# A chart: the name of its file, without suffix, and the drawing.
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
class _End:
    """The right end of a line, and what is to be written there."""

    x: float
    y: float
    text: str
    color: str
    bold: bool = False


def _ends(shown: Sequence[Series], look_of: dict[str, tuple[str, str, object]]) -> list[_End]:
    return [_End(one.points[-1][0], one.points[-1][1].median, one.label, look_of[one.label][0], one.server == "pushletd") for one in shown]


def _label_ends(axes: Axes, ends: Sequence[_End]) -> None:
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
            weight="bold" if end.bold else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": end.color, "linewidth": 0.7, "alpha": 0.7, "relpos": (0, 0.5), "shrinkA": 2, "shrinkB": 4},
        )


def _plot(axes: Axes, one: Series, style: tuple[str, str, object]) -> None:
    """A line with its intervals."""
    color, marker, dashes = style
    figures = [figure for _, figure in one.points]
    middles = [figure.median for figure in figures]
    errors = [[max(f.median - f.low, 0) for f in figures], [max(f.high - f.median, 0) for f in figures]]
    first = one.server == "pushletd"
    line = {"color": color, "marker": marker, "linestyle": dashes, "linewidth": 2.2 if first else 1.5, "markersize": 5}
    axes.errorbar([place for place, _ in one.points], middles, yerr=errors, capsize=2.5, elinewidth=1, zorder=4 if first else 3, **line)


def _wanted(bound: Target, form: Callable[[float], str]) -> str:
    """A target as it stands at its line."""
    value = f"{bound.factor:g} × {bound.other}" if bound.other else form(bound.factor)
    side = f" {bound.side}" if bound.side not in ("", "pushletd") else ""
    return f"target{side} {_relation(bound)} {value}"


def _relation(bound: Target) -> str:
    if bound.strict:
        return "<" if bound.at_most else ">"
    return "≤" if bound.at_most else "≥"


_DASHED = {"color": TARGET, "linestyle": (0, (4, 2)), "linewidth": 1.2}
# Behind text that stands on lines.
_BEHIND = {"facecolor": GROUND, "edgecolor": "none", "alpha": 0.88, "pad": 0.8}


def _target_line(axes: Axes, bound: Target, line: Sequence[tuple[float, float]], form: Callable[[float], str]) -> _End:
    """A target as a dashed line: over the whole width, or from place to place where it is a multiple of another line or not of all places."""
    everywhere = not bound.other and not bound.case
    if everywhere:
        axes.axhline(line[0][1], zorder=2.5, **_DASHED)
    else:
        axes.plot([at for at, _ in line], [value for _, value in line], zorder=5, marker="_", markersize=14, **_DASHED)
    right = axes.get_xlim()[1] if everywhere else line[-1][0]
    return _End(right, line[-1][1], _wanted(bound, form), TARGET)


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
    small = [charts.counts(figure for one in lines for _, figure in one.points)]
    small += [f"Some runs did not keep the rate, which shows as latency: {', '.join(late)}."] * bool(late)
    card = Card(
        "Time from publish to delivery", f"{text}; by share of the deliveries, logarithmic, less is better", [*small, charts.sources(runs)], 3.5
    )
    axes = card.axes(0.85, 0.0, 5.6, 3.15)
    axes.set_yscale("log")
    look_of, step = styles(lines), min(0.05, 0.3 / len(lines))
    # A little beside each other, or the intervals would hide each other.
    lines = [_aside(one, (turn - (len(lines) - 1) / 2) * step) for turn, one in enumerate(lines)]
    for one in lines:
        _plot(axes, one, look_of[one.label])
    values = [value for one in lines for _, figure in one.points for value in (figure.low, figure.high) if value > 0]
    percentile_of = {f"delivery_us_{word}": place for place, (word, _) in enumerate(charts.PERCENTILES)}
    drawn = [bound for bound in targets if bound.metric in percentile_of]
    _latency_axes(axes, values + [line[0][1] for bound in drawn for _, line in charts.bounds([bound], bound.metric, runs, lambda _: 0.0)])
    for turn, bound in enumerate(drawn):
        place = percentile_of[bound.metric]
        _latency_target(axes, bound, place, runs, turn)
    _label_ends(axes, _ends(lines, look_of))
    return card.canvas


def _aside(one: Series, by: float) -> Series:
    return Series(one.server, one.label, tuple((place + by, figure) for place, figure in one.points))


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


def _latency_target(axes: Axes, bound: Target, percentile: int, runs: Sequence[Run], turn: int) -> None:
    """A target of one percentile: a short line in its column, named at the column's head."""
    for found, line in charts.bounds([bound], bound.metric, runs, lambda _: 0.0):
        value = line[0][1]
        axes.plot([percentile - 0.35, percentile + 0.35], [value, value], zorder=5, **_DASHED)
        how = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center", "va": "top"}
        axes.annotate(_wanted(found, microseconds), (percentile, 1.0), (0, -12 * turn), color=TARGET, size=SMALL, bbox=_BEHIND, zorder=6, **how)


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
        sort = ("Memory of the server", "from zero, less is better", "connections")
        yield "memory", _against(runs, targets, "server_resident_bytes", sort, "resident, with idle connections", _mebibytes, float(2**20))
    runs = [run for run in runs if run.number("server_bytes_per_connection")]
    if runs:
        sort = ("Memory for each idle connection", "from zero, less is better", "connections")
        text = "growth of the resident memory while they were opened"
        yield "memory-each", _against(runs, targets, "server_bytes_per_connection", sort, text, _kibibytes, 1024.0)


def _mebibytes(value: float, _: object = None) -> str:
    return f"{value / 2**20:.3g} MiB" if value else "0"


def _kibibytes(value: float, _: object = None) -> str:
    return f"{value / 1024:.3g} KiB" if value else "0"


def _sessions(run: Run) -> float:
    return run.number("sessions_open") or 0.0


def _against(
    runs: Sequence[Run], targets: Sequence[Target], metric: str, words: tuple[str, str, str], text: str, form: Callable[..., str], unit: float
) -> Canvas:
    """A figure against the number of subscribers: lines, or bars where there is one number only."""
    title, subtitle, axis_name = words
    shown = charts.series(runs, _sessions, lambda run: run.number(metric))
    bounds = charts.bounds(targets, metric, runs, _sessions)
    small = [charts.counts(figure for one in shown for _, figure in one.points)]
    vary = charts.settings_vary(runs)
    small += [f"Settings that were not alike everywhere: {'; '.join(vary)}."] * bool(vary)
    places = sorted({place for one in shown for place, _ in one.points})
    if len(places) == 1:
        body = _bars_height(len(shown), len(_through(shown, bounds)))
        card = Card(title, f"{text}, {grouped(places[0])} {axis_name}; {subtitle}", [*small, charts.sources(runs)], body)
        _bars(card, 0.0, shown, bounds, form, most_first=metric == "deliveries_per_second")
        return card.canvas
    card = Card(title, f"{text}; {subtitle}", [*small, charts.sources(runs)], 3.7)
    axes = card.axes(1.05, 0.0, 5.4, 3.1)
    look_of = styles(shown)
    for one in shown:
        _plot(axes, one, look_of[one.label])
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
    _label_ends(axes, _ends(shown, look_of) + [_target_line(axes, bound, line, form) for bound, line in bounds])
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


def _bars_height(count: int, targets: int) -> float:
    return 0.3 * count + 0.22 + 0.17 * targets


def _edge(shown: Sequence[Series], bounds: Bounds) -> float:
    """The largest number that bars have to show."""
    return max([one.points[0][1].high for one in shown] + [line[0][1] for _, line in bounds])


def _bars(
    card: Card, top: float, shown: Sequence[Series], bounds: Bounds, form: Callable[..., str], most_first: bool = False, edge: float = 0
) -> None:
    """Bars from zero, one below the other, with name and value; the best first. `edge` is where the scale ends at least."""
    shown = sorted(shown, key=lambda one: one.points[0][1].median, reverse=most_first)
    through = _through(shown, bounds)
    axes = card.axes(2.3, top + 0.17 * len(through), 3.7, 0.3 * len(shown))
    for row, one in enumerate(shown):
        _bar(axes, row, one, [(bound, line[0][1]) for bound, line in bounds if bound.side in one.sides], form)
    edge = max(edge, _edge(shown, bounds))
    for turn, (bound, line) in enumerate(through):
        axes.axvline(line[0][1], ymax=1 + 0.06 * (turn + 1), clip_on=False, zorder=2.5, **_DASHED)
        right = line[0][1] > edge * 0.5
        how = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "color": TARGET, "size": SMALL}
        axes.annotate(_wanted(bound, form), (line[0][1], 1.0), (-3 if right else 3, 3 + 11 * turn), ha="right" if right else "left", **how)
    axes.set_xlim(0, edge * 1.02)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)


def _through(shown: Sequence[Series], bounds: Bounds) -> Bounds:
    """Targets that are of no bar alone: they go through all."""
    return [(bound, line) for bound, line in bounds if not any(bound.side in one.sides for one in shown)]


def _bar(axes: Axes, row: int, one: Series, bounds: Sequence[tuple[Target, float]], form: Callable[..., str]) -> None:
    """A bar with its interval and its own target."""
    figure, first = one.points[0][1], one.server == "pushletd"
    axes.barh(row, figure.median, height=0.68, color=look(one.server)[0], alpha=1.0 if first else 0.78, zorder=2)
    if figure.count > 1:
        errors = [[max(figure.median - figure.low, 0)], [max(figure.high - figure.median, 0)]]
        axes.errorbar(figure.median, row, xerr=errors, color=INK, capsize=2.5, elinewidth=1, zorder=4)
    how = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
    weight = "bold" if first else "normal"
    axes.annotate(one.label, (0, row), (-6, 0), ha="right", weight=weight, **how)
    right = max([figure.high, *(value for _, value in bounds)])
    text = axes.annotate(form(figure.median), (right, row), (6, 0), bbox=_BEHIND, zorder=3, weight=weight, **how)
    for bound, value in bounds:
        axes.plot([value, value], [row - 0.44, row + 0.44], color=TARGET, linewidth=2.2, zorder=5)
        wanted = f"{bound.factor:g} × {bound.other}" if bound.other else form(bound.factor)
        axes.annotate(
            f"{_relation(bound)} {wanted}",
            (1, 0.5),
            (4, 0),
            xycoords=text,
            textcoords="offset points",
            va="center",
            color=TARGET,
            size=SMALL,
            annotation_clip=False,
        )


def cpu(reading: Reading, targets: Sequence[Target]) -> Iterable[Drawn]:
    """Processor time of the server for each delivery: a chart for each scenario, a panel for each load."""
    metric = "server_cpu_us_per_delivery"
    runs = [run for run in reading.runs if (run.number(metric) or 0) > 0 and run.word("scenario") != "idle"]
    for scenario, alike in charts.by(runs, lambda run: run.word("scenario")).items():
        title = f"Processor time of the server for each delivery: {scenario}"
        panels = [(text.removeprefix(f"{scenario}, "), same) for text, same in charts.by(alike, charts.load).items()]
        yield f"cpu-{charts.slug(scenario)}", _panels(title, metric, panels, targets)


def control(reading: Reading, targets: Sequence[Target]) -> Iterable[Drawn]:
    """Processor time of the server for each request of wrk: a panel for each sort of request."""
    metric = "server_cpu_us_per_request"
    runs = [run for run in reading.requests if (run.number(metric) or 0) > 0]
    if runs:
        panels = list(charts.by(runs, lambda run: run.word("what") or run.word("scenario")).items())
        yield "control", _panels("Processor time of the server for each request", metric, panels, targets)


def _microseconds_each(value: float, _: object = None) -> str:
    return f"{value:#.3g}".rstrip(".") + " µs" if value < 1000 else f"{grouped(value)} µs"


def _panels(title: str, metric: str, loads: Sequence[tuple[str, Sequence[Run]]], targets: Sequence[Target]) -> Canvas:
    """A chart of bars: a panel for each load."""
    panels, runs = [], [run for _, alike in loads for run in alike]
    for text, alike in loads:
        shown = charts.series(alike, lambda _: 0.0, lambda run: run.number(metric))
        panels.append((text, shown, charts.bounds(targets, metric, alike, lambda _: 0.0)))
    heights = [0.3 + _bars_height(len(shown), len(_through(shown, bounds))) for _, shown, bounds in panels]
    edges = [_edge(shown, bounds) for _, shown, bounds in panels]
    # One scale where all can be read on it.
    edge = max(edges) if max(edges) <= 4 * min(edges) else 0.0
    scale = "Bars begin at zero" + ("." if edge else "; each panel has a scale of its own.")
    small = [f"{charts.counts(figure for _, shown, _ in panels for one in shown for _, figure in one.points)} {scale}", charts.sources(runs)]
    card = Card(title, "microseconds, user and kernel; less is better", small, sum(heights))
    top = 0.0
    for (text, shown, bounds), height in zip(panels, heights, strict=True):
        card.write(0.25, card.top + top, text, size=PANEL, weight="bold")
        _bars(card, top + 0.3, shown, bounds, _microseconds_each, edge=edge)
        top += height
    return card.canvas


def pairs(reading: Reading, targets: Sequence[Target]) -> Iterable[Drawn]:
    """Ratios of the processor times of two servers that took turns: a chart for each load."""
    for load, runs in charts.by(reading.pairs, lambda run: run.word("load") or run.word("case")).items():
        found = charts.pairs(runs, targets)
        if found:
            yield f"pairs-{charts.slug(_pair_load(runs[0], load))}", _pairs(_pair_load(runs[0], load), found, runs)


def _pair_load(run: Run, load: str) -> str:
    words = load.split()
    values = {name: grouped(float(value)) for name, value in zip(words, words[1:], strict=False) if name.startswith("--") and value.isdigit()}
    parts = [f"{values.get('--sessions', '?')} subscribers"]
    parts += [f"{values['--subjects']} subjects"] * (values.get("--subjects", "1") != "1")
    parts += ["one event at a time" if values.get("--in-flight", "1") == "1" else f"{values['--in-flight']} events in flight"]
    return ", ".join(parts) if "--sessions" in values else run.word("case")


def _pairs(load: str, found: Sequence[charts.Pair], runs: Sequence[Run]) -> Canvas:
    small = [charts.counts(pair.ratio for pair in found).replace("runs", "rounds").replace("run.", "round.")]
    small[0] += " Bars begin at zero; red: the most that is wanted."
    card = Card(
        "Processor time for each delivery, as a multiple",
        f"{load}; both servers in turn, less is better",
        [*small, charts.sources(runs)],
        0.36 * len(found) + 0.2,
    )
    axes = card.axes(2.7, 0.0, 3.2, 0.36 * len(found))
    edge = max(max(pair.ratio.high, pair.bound or 0) for pair in found)
    for row, pair in enumerate(found):
        ratio = pair.ratio
        axes.barh(row, ratio.median, height=0.6, color=look("pushletd" if pair.one.startswith("pushletd") else pair.one)[0], zorder=2)
        if ratio.count > 1:
            axes.errorbar(
                ratio.median, row, xerr=[[ratio.median - ratio.low], [ratio.high - ratio.median]], color=INK, capsize=2.5, elinewidth=1, zorder=4
            )
        if pair.bound is not None:
            axes.plot([pair.bound, pair.bound], [row - 0.42, row + 0.42], color=TARGET, linewidth=2.2, zorder=5)
        how = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(f"{pair.one} / {pair.other}", (0, row), (-6, 0), ha="right", **how)
        wanted = f" (≤ {pair.bound:g})" if pair.bound is not None else ""
        times = f"   {_microseconds_each(pair.one_us)} / {_microseconds_each(pair.other_us)}"
        axes.annotate(f"{ratio.median:.2f}{wanted}{times}", (max(ratio.high, pair.bound or 0), row), (7, 0), bbox=_BEHIND, zorder=3, **how)
    axes.set_xlim(0, edge)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)
    return card.canvas


# Every kind of chart: its name, what it needs, and what draws it.
KINDS: tuple[tuple[str, str, Callable[[Reading, Sequence[Target]], Iterable[Drawn]]], ...] = (
    ("latency", "runs with a rate and deliveries (the open loop)", latency),
    ("throughput", "runs without a rate and with deliveries (the closed loop)", throughput),
    ("cpu", "runs with --server-pid and deliveries", cpu),
    ("pairs", "pairs of perf/floor", pairs),
    ("control", "runs of wrk (perf/run wrk)", control),
    ("memory", "runs of the scenario idle with --server-pid", memory),
)


def save(canvas: Canvas, path: Path) -> None:
    """Writes an SVG or a PNG, by the path's suffix, without anything that changes from day to day."""
    if path.suffix == ".svg":
        canvas.savefig(path, format="svg", metadata={"Date": None, "Creator": "pushletd perf/plot"}, transparent=False, facecolor="none")
    else:
        canvas.savefig(path, format="png", dpi=192, metadata={"Software": None}, facecolor="none")
