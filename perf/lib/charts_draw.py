"""The kinds of charts, each drawn from what `charts` finds in the runs, with what `charts_canvas` has."""

from collections.abc import Callable, Iterable, Sequence

import charts
from charts import Bounds, Reading, Run, Series, Target, grouped
from charts_canvas import (
    BEHIND,
    DASHED,
    GRID,
    INK,
    PANEL,
    SMALL,
    TARGET,
    Card,
    ends,
    label_ends,
    look,
    microseconds,
    plot,
    relation,
    short,
    styles,
    target_line,
    wanted,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

# A chart: the name of its file, without suffix, and the drawing.
Drawn = tuple[str, Canvas]


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
        plot(axes, one, look_of[one.label])
    values = [value for one in lines for _, figure in one.points for value in (figure.low, figure.high) if value > 0]
    percentile_of = {f"delivery_us_{word}": place for place, (word, _) in enumerate(charts.PERCENTILES)}
    drawn = [bound for bound in targets if bound.metric in percentile_of]
    _latency_axes(axes, values + [line[0][1] for bound in drawn for _, line in charts.bounds([bound], bound.metric, runs, lambda _: 0.0)])
    for turn, bound in enumerate(drawn):
        place = percentile_of[bound.metric]
        _latency_target(axes, bound, place, runs, turn)
    label_ends(axes, ends(lines, look_of))
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
        axes.plot([percentile - 0.35, percentile + 0.35], [value, value], zorder=5, **DASHED)
        how = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center", "va": "top"}
        axes.annotate(wanted(found, microseconds), (percentile, 1.0), (0, -12 * turn), color=TARGET, size=SMALL, bbox=BEHIND, zorder=6, **how)


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
        plot(axes, one, look_of[one.label])
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
    label_ends(axes, ends(shown, look_of) + [target_line(axes, bound, line, form) for bound, line in bounds])
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
        axes.axvline(line[0][1], ymax=1 + 0.06 * (turn + 1), clip_on=False, zorder=2.5, **DASHED)
        right = line[0][1] > edge * 0.5
        how = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "color": TARGET, "size": SMALL}
        axes.annotate(wanted(bound, form), (line[0][1], 1.0), (-3 if right else 3, 3 + 11 * turn), ha="right" if right else "left", **how)
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
    text = axes.annotate(form(figure.median), (right, row), (6, 0), bbox=BEHIND, zorder=3, weight=weight, **how)
    for bound, value in bounds:
        axes.plot([value, value], [row - 0.44, row + 0.44], color=TARGET, linewidth=2.2, zorder=5)
        wanted = f"{bound.factor:g} × {bound.other}" if bound.other else form(bound.factor)
        axes.annotate(
            f"{relation(bound)} {wanted}",
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
        axes.annotate(f"{ratio.median:.2f}{wanted}{times}", (max(ratio.high, pair.bound or 0), row), (7, 0), bbox=BEHIND, zorder=3, **how)
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
