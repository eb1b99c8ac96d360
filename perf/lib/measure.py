"""Runs a scenario: rounds in which the servers take turns. What cannot be done is written down and ends nothing."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import processes
import servers
from figures import Target
from records import Record, Recorder, shown
from scenarios import FLOOR, OURS, Scenario, Side
from servers import Refused, Server

# A side that fails so often in a row is not asked again in this scenario.
FAILURES_MAX = 2
START_SECONDS = 10.0


@dataclass
class Context:
    """What a start of perf/run has: programs, wishes, and what is to be cleaned up."""

    pushletd: Path
    generator: Path
    floor: Path
    recorder: Recorder
    folder: Path
    quick: bool = False
    rounds: int | None = None
    seconds: int | None = None
    only: list[str] | None = None
    peers: list[str] | None = None
    say: Callable[[str], None] = print
    running: list[Server] = field(default_factory=list)

    def record(self, one: Record) -> None:
        """Keeps a run of wrk."""
        self.recorder.record("wrk", one)

    def start_server(self, name: str, *words: str, cpus: list[int] | None = None) -> Server:
        """Starts ours or a peer; `stop_server` or `stop_all` ends it.

        Raises Refused.
        """
        if name == OURS:
            server = servers.start_pushletd(self.pushletd, self.folder, words, cpus)
        else:
            server = servers.start_peer(name, self.folder, words, cpus)
        self.running.append(server)
        return server

    def stop_server(self, server: Server) -> None:
        """Ends one."""
        server.stop()
        self.running.remove(server)

    def stop_all(self) -> None:
        """Ends all that run."""
        while self.running:
            self.running.pop().stop()

    def takes_part(self, side: Side) -> bool:
        """Whether the side is wanted: ours and the floor always are."""
        return self.peers is None or side.server in (OURS, FLOOR) or side.server in self.peers

    def rounds_of(self, scenario: Scenario) -> int:
        """How many rounds there are."""
        if self.rounds is not None:
            return self.rounds
        return 1 if self.quick else scenario.rounds


def call(context: Context, words: Sequence[str | Path], seconds: float) -> dict[str, object]:
    """Runs a tool that prints one JSON object.

    Raises Refused with what it said if there is none, or with the time if it takes longer.
    """
    output, errors = context.folder / "tool.out", context.folder / "tool.err"
    with output.open("wb") as out, errors.open("wb") as err:
        child = processes.start(words, stdout=out, stderr=err)
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise Refused(f"not done after {seconds:g} s") from error
    finally:
        processes.end(child)
    said = errors.read_text(encoding="utf-8", errors="replace").strip()
    for line in output.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{"):
            facts = json.loads(line)
            return {**facts, "exit_code": code, **({"said": said[-500:]} if said else {})}
    raise Refused(f"exit code {code}: {said[-500:] or 'not a word'}")


def _over(above: object, below: object, factor: float) -> float | None:
    if isinstance(above, int | float) and isinstance(below, int | float) and below > 0:
        return above / below * factor
    return None


def derived(facts: dict[str, object]) -> dict[str, float | None]:
    """Figures that follow from those of the generator, in the units of the targets."""
    cycles = _over(facts.get("churn_per_second"), 1, 1.0)
    seconds = facts.get("measured_seconds")
    return {
        "server_kib_per_connection": _over(facts.get("server_bytes_per_connection"), 1024, 1.0),
        "server_cpu_percent": _over(facts.get("server_cpu_seconds"), seconds, 100.0),
        "server_cpu_us_per_cycle": _over(_over(facts.get("server_cpu_seconds"), seconds, 1e6), cycles, 1.0),
        "delivery_ms_p50": _over(facts.get("delivery_us_p50"), 1000, 1.0),
        "delivery_ms_p99": _over(facts.get("delivery_us_p99"), 1000, 1.0),
    }


def described(scenario: Scenario, side: Side, server: Server | None, number: int) -> Record:
    """What a run is of."""
    facts: Record = {"tool": scenario.tool, "side": side.name, "server": side.server, "round": number}
    if server is not None:
        facts["server_version"] = server.version
        facts["server_start"] = " ".join(side.start)
    return facts


class Kept:
    """Servers of one scenario: kept for all its rounds, or fresh for each run."""

    def __init__(self, context: Context, scenario: Scenario) -> None:
        self.context, self.fresh = context, scenario.fresh
        self.cpus, self.tool_cpus = servers.processors(scenario.pin)
        self.kept: dict[tuple[str, tuple[str, ...]], Server] = {}

    def get(self, side: Side) -> Server:
        """A server for the side, at rest.

        Raises Refused.
        """
        key = (side.server, side.start)
        server = self.kept.get(key)
        if server is not None and (self.fresh or not server.alive()):
            self.drop(side)
            server = None
        if server is None:
            server = self.kept[key] = self.context.start_server(side.server, *side.start, cpus=self.cpus)
        server.settle()
        return server

    def drop(self, side: Side) -> None:
        """Ends the side's server; the next `get` starts another."""
        server = self.kept.pop((side.server, side.start), None)
        if server is not None:
            self.context.stop_server(server)

    def end(self) -> None:
        """Ends all."""
        for server in list(self.kept.values()):
            self.context.stop_server(server)
        self.kept.clear()


def bench(context: Context, scenario: Scenario, kept: Kept, side: Side) -> Record:
    """One run of the load generator against one side.

    Raises Refused.
    """
    server = kept.get(side)
    addresses = [server.url] + (["--publish-url", server.publish_url] if server.publish_url != server.url else [])
    pids = ",".join(map(str, server.pids))
    words = [context.generator, "bench", *addresses, *scenario.command_words(side, context.quick)]
    words += ["--json", "--quiet", "--server-pid", pids]
    pin = servers.pinned(kept.tool_cpus)
    command = shown([*pin, *words], {str(context.generator): "pushletd"})
    try:
        facts = call(context, [*pin, *words], scenario.timeout)
    except Refused as error:
        died = "" if server.alive() else f"; the server is gone: {server.last_words()}"
        raise Refused(f"{error}{died} ({command})") from error
    about = {"server_version": server.version, "server_start": " ".join(side.start), "server_limits": server.limits()}
    return {**facts, **derived(facts), **about, "server_command": server.started, "command": command}


# What a server may do to slow readers and still be good to the generator, for it says so. To count, a run of ours has done none of it.
DROPS = ("told_missing", "missed_by_abort", "sessions_aborted", "events_refused", "events_unanswered")


def drops(facts: Record) -> str:
    """What a run did not deliver and told, empty if nothing."""
    return ", ".join(f"{key} {facts[key]}" for key in DROPS if facts.get(key))


def trouble(facts: Record) -> str:
    """What was not good about a run, empty if nothing was."""
    if facts.get("failed"):
        return str(facts["failed"])
    if facts.get("good") is True:
        return drops(facts) or "stopped early" * (facts.get("stopped_early") is True)
    keys = ("lost", "repeated", "out_of_order", "foreign", "opens_failed", "connections_broken", "answers_garbled")
    wrong = [f"{key} {facts[key]}" for key in keys if facts.get(key)]
    gone = ["server gone"] if facts.get("server_gone") else []
    dropped = [drops(facts)] if drops(facts) else []
    return ", ".join(gone + wrong + dropped) or str(facts.get("said") or "not good, nobody says why")


def run_bench(context: Context, scenario: Scenario) -> None:
    """All rounds of a scenario of the load generator."""
    kept = Kept(context, scenario)
    failures: dict[str, int] = {}
    try:
        for number in range(1, context.rounds_of(scenario) + 1):
            sides = [side for side in scenario.sides if context.takes_part(side)]
            for side in sides if number % 2 else reversed(sides):
                if failures.get(side.name, 0) >= FAILURES_MAX:
                    continue
                try:
                    one = bench(context, scenario, kept, side)
                except Refused as error:
                    one = {"good": False, "failed": str(error)}
                if scenario.fresh or "failed" in one:
                    kept.drop(side)
                failures[side.name] = failures.get(side.name, 0) + 1 if "failed" in one else 0
                keep(context, scenario, {**described(scenario, side, None, number), **one})
    finally:
        kept.end()


def keep(context: Context, scenario: Scenario, one: Record) -> None:
    """Records a run, and says in a line how it went."""
    context.recorder.record(scenario.name, one)
    keys = {
        "deliveries_per_second": "{:.0f} deliveries/s",
        "server_cpu_us_per_delivery": "{:.3f} us CPU each",
        "delivery_ms_p99": "99 % within {:.2f} ms",
        "churn_per_second": "{:.0f} cycles/s",
        "server_kib_per_connection": "{:.3f} KiB a connection",
        "start_ms": "{:.1f} ms",
        "ratio_median": "ratio {:.3f}",
    }
    told = [form.format(one[key]) for key, form in keys.items() if one.get(key)]
    problem = trouble(one)
    context.say(f"{scenario.name} {one['round']}, {one['side']}: {'; '.join(told)}{'; ' if told and problem else ''}{problem}")


def against_words(words: Sequence[str]) -> list[str]:
    """What the floor tool is told for the second side: `--dialect` is `--against-dialect` there; the floor's own words stay."""
    own = ("--floor", "--batch")
    return [f"--against-{word[2:]}" if word.startswith("--") and word not in own else word for word in words]


def pair(context: Context, scenario: Scenario, kept: Kept, target: Target) -> Record:
    """All rounds of one pair, which perf/floor interleaves by itself.

    Raises Refused.
    """
    one, other = scenario.side(target.side), scenario.side(target.other or "")
    first = kept.get(one)
    second: Server | None = None
    words: list[str | Path] = [context.floor, "--pair", first.url, "--server-pid", ",".join(map(str, first.pids)), *one.words]
    if other.server != FLOOR:
        second = kept.get(other)
        words += ["--against-url", second.url, "--against-pid", ",".join(map(str, second.pids))]
        if second.publish_url != second.url:
            words += ["--against-publish-url", second.publish_url]
    words += against_words(other.words)
    words += [*scenario.command_words(Side("", "", (), ()), context.quick), "--rounds", str(context.rounds_of(scenario)), "--json"]
    pin = servers.pinned(kept.tool_cpus)
    if other.server == FLOOR and pin:
        # The floor's process is a child of the tool. Where the server is, it has the same to itself and to share.
        words += ["--floor-cpus", ",".join(map(str, kept.cpus or []))]
    command = shown([*pin, *words], {str(context.floor): "floor"})
    try:
        facts = call(context, [*pin, *words], scenario.timeout)
    except Refused as error:
        raise Refused(f"{error} ({command})") from error
    ratio = facts.get("ratio")
    median = ratio.get("median") if isinstance(ratio, dict) else None
    about: Record = {"server_version": first.version, "server_command": first.started, "command": command}
    if second is not None:
        about |= {"other_version": second.version, "other_command": second.started}
    return {**facts, "ratio_median": median, **about}


def run_pairs(context: Context, scenario: Scenario) -> None:
    """Each pair of a scenario in turn."""
    for target in scenario.targets:
        one, other = scenario.side(target.side), scenario.side(target.other or "")
        if not context.takes_part(other):
            continue
        kept = Kept(context, scenario)
        try:
            facts = pair(context, scenario, kept, target)
        except Refused as error:
            facts = {"good": False, "failed": str(error)}
        finally:
            kept.end()
        keep(context, scenario, {**described(scenario, one, None, 1), "other_side": other.name, **facts})


def answered(url: str) -> bool:
    """Whether there is an answer of HTTP."""
    try:
        with urllib.request.urlopen(url, timeout=START_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, ValueError):
        return False


def start_time(context: Context, side: Side) -> float:
    """Milliseconds from before the process is made to the end of its first answer.

    Raises Refused.
    """
    port = processes.free_port()
    words = [context.pushletd, "--listen", f"127.0.0.1:{port}", "--admin", "off", *side.start]
    with (context.folder / "start.log").open("wb") as log:
        begin = time.perf_counter()
        child = processes.start(words, stdout=log, stderr=log)
        try:
            while not answered(f"http://127.0.0.1:{port}/"):
                if child.poll() is not None or time.perf_counter() - begin > START_SECONDS:
                    raise Refused(f"no answer: {(context.folder / 'start.log').read_text(errors='replace')[-500:]}")
                time.sleep(0.0005)
            return (time.perf_counter() - begin) * 1000
        finally:
            processes.end(child)


def run_starts(context: Context, scenario: Scenario) -> None:
    """Starts of our server, one after the other."""
    for number in range(1, context.rounds_of(scenario) + 1):
        for side in scenario.sides:
            command = f"pushletd --listen 127.0.0.1:PORT --admin off {' '.join(side.start)}".strip()
            one: Record = {"good": True, "command": command}
            try:
                one["start_ms"] = start_time(context, side)
            except Refused as error:
                one = {"good": False, "failed": str(error)}
            keep(context, scenario, {**described(scenario, side, None, number), **one})


def run(context: Context, scenario: Scenario) -> None:
    """One scenario; what cannot be done is recorded."""
    context.say(f"== {scenario.name}: {scenario.what} (load average {os.getloadavg()[0]:.1f})")
    {"bench": run_bench, "floor": run_pairs, "start": run_starts}[scenario.tool](context, scenario)
