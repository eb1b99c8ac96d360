"""Control requests by wrk: pushletd and nginx's `return 200` in turn, one core for the server and one for wrk.

`run(context)` is called by `perf/run wrk`. By itself:  python3 perf/lib/wrk.py --pushletd PATH [--rounds N] [--seconds N] [--only NAME...]

Of each run two things are taken: right answers a second, and the server's processor time for each. The first says nothing about the server when
wrk is the slower one, which `server_busy` shows; the second holds in both cases. Answers are checked in the Lua scripts: a wrong one makes the
run no good, and its round gives no ratio.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import processes
from figures import Interval, Target, Verdict, median_interval
from servers import Refused, Server, pinned, processors, start_peer, start_pushletd

PERF = Path(__file__).resolve().parent.parent
ROUNDS, SECONDS, CONNECTIONS = 7, 5, 64
QUICK_ROUNDS, QUICK_SECONDS = 3, 2
# Of both, requests a second and requests for each second of processor time: where wrk is the slower one, the rates alone come out alike.
RATIO_MIN = 0.8
# As long as a session's id, so that both servers get the same bytes.
SOME_ID = "AAAAAAAAAAAAAAAAAAAAAAAA"


class Context(Protocol):
    """What `perf/run` gives. `rounds` and `seconds` may be absent or None, `quick` and `only` too."""

    pushletd: Path

    def record(self, run: dict[str, object]) -> None:
        """Keeps one run."""

    def say(self, text: str) -> None:
        """Tells people."""


@dataclass(frozen=True)
class Scenario:
    """What wrk asks for. `against`: the words by which nginx gets the same requests; without them there is nothing to compare with."""

    name: str
    what: str
    script: str
    words: tuple[str, ...] = ()
    against: tuple[str, ...] | None = None


_BARE = (f"id={SOME_ID}", "mark=ok")
SCENARIOS = (
    Scenario("hb", "heartbeats (p_event=hb)", "control.lua", ("what=hb",), ("what=hb", *_BARE)),
    Scenario("publish-nobody", "publishes that nobody listens to (p_event=publish)", "control.lua", ("what=publish",), ("what=publish", *_BARE)),
    Scenario("refresh", "refreshes of a poll session (p_event=refresh)", "control.lua", ("what=refresh",), ("what=refresh", *_BARE)),
    Scenario("publish-v1", "POST /v1/publish that nobody listens to", "publish.lua", (), ("status=200", "mark=ok")),
    Scenario("churn", "join, then leave", "churn.lua"),
    Scenario("churn-listen", "join-listen (poll), then leave", "churn.lua", ("subject=/wrk/churn",)),
    Scenario("pull", "pull cycle: refresh that waits, publish to it", "pull.lua"),
)


def command(scenario: Scenario, server: Server, seconds: int) -> list[str]:
    """The command line of wrk."""
    parts = urlsplit(server.url)
    words = scenario.words if server.name == "pushletd" else scenario.against or ()
    line = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--timeout", "10s"]
    return [*pinned(processors(True)[1]), *line, "--script", str(PERF / "wrk" / scenario.script), f"{parts.scheme}://{parts.netloc}", "--", *words]


def told(said: str) -> dict[str, object]:
    """The JSON object that the Lua script printed at its end.

    Raises Refused with wrk's words if there is none.
    """
    for line in said.splitlines():
        if line.startswith("json: "):
            return dict(json.loads(line.removeprefix("json: ")))
    raise Refused(f"wrk printed no account:\n{said[-2000:]}")


def _waited(child: subprocess.Popen[bytes]) -> tuple[str, float]:
    """What a child printed, and its processor time."""
    assert child.stdout is not None
    with child.stdout as output:
        said = output.read().decode("utf-8", errors="replace")
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise Refused(f"wrk ended with {child.returncode}:\n{said[-2000:]}")
    return said, usage.ru_utime + usage.ru_stime


def measure(scenario: Scenario, server: Server, seconds: int, number: int) -> dict[str, object]:
    """One run of wrk against one server."""
    words = command(scenario, server, seconds)
    before, begin = processes.cpu_seconds(server.pids), time.monotonic()
    child = processes.start(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        said, own = _waited(child)
    finally:
        processes.end(child)
    wall, spent = time.monotonic() - begin, processes.cpu_seconds(server.pids) - before
    account = told(said)
    answers = int(str(account["right"])) + int(str(account["joined"])) * (scenario.script == "control.lua")
    good = account["wrong"] == 0 and account["broken"] == 0 and answers > 0
    return {
        "tool": "wrk",
        "scenario": scenario.name,
        "what": scenario.what,
        "server": server.name,
        "server_version": server.version,
        "round": number,
        "connections": CONNECTIONS,
        "pinned": bool(pinned(processors(True)[0])),
        **account,
        "server_cpu_us_per_request": spent / answers * 1e6 if answers else None,
        "server_busy": spent / wall,
        "generator_busy": own / wall,
        "good": good,
        "server_command": server.started,
        "command": " ".join(_shown(word) for word in words),
    }


def _shown(word: str) -> str:
    """A word as people type it at the root of the project."""
    return word.replace(str(PERF.parent) + "/", "")


def summary(runs: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Of each scenario: median, low and high of both servers' figures and of the ratios of rounds in which both were good; the number of pairs.

    `rate_ratio` is of requests a second, `capacity_ratio` of requests for each second of the server's processor time.
    """
    by_name: dict[str, list[dict[str, object]]] = {}
    for one in runs:
        by_name.setdefault(str(one["scenario"]), []).append(one)
    return [{"scenario": name, **_summary(alike)} for name, alike in by_name.items()]


def _summary(runs: list[dict[str, object]]) -> dict[str, object]:
    rounds: dict[object, dict[object, dict[str, object]]] = {}
    for one in runs:
        if one["good"] is True:
            rounds.setdefault(one["round"], {})[one["server"]] = one
    found: dict[str, object] = {"bad": sum(one["good"] is not True for one in runs)}
    for server in ("pushletd", "nginx"):
        for key in ("requests_per_second", "server_cpu_us_per_request", "server_busy", "generator_busy"):
            values = [float(str(both[server][key])) for both in rounds.values() if server in both]
            if values:
                found[f"{server}_{key}"] = _three(values)
    pairs = [(both["pushletd"], both["nginx"]) for both in rounds.values() if len(both) == 2]
    found["pairs"] = len(pairs)
    if pairs:
        rate, cpu = "requests_per_second", "server_cpu_us_per_request"
        found["rate_ratio"] = _three(float(str(ours[rate])) / float(str(theirs[rate])) for ours, theirs in pairs)
        found["capacity_ratio"] = _three(float(str(theirs[cpu])) / float(str(ours[cpu])) for ours, theirs in pairs)
    return found


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    found = median_interval(values)
    return found.median, found.low, found.high


def _of(row: dict[str, object], key: str) -> tuple[float, float, float]:
    found = row[key]
    assert isinstance(found, tuple), "figures of a summary are median, low and high"
    return found


def verdict(row: dict[str, object]) -> str:
    """What a row of the summary says about the target; both ratios have to keep it, and the worse one decides."""
    found: list[Verdict] = []
    for key in ("rate_ratio", "capacity_ratio"):
        if key not in row:
            return Verdict.NO_FIGURE.value
        median, low, high = _of(row, key)
        target = Target("pushletd", key, ">=", RATIO_MIN, "nginx")
        found.append(target.verdict(Interval(median, low, high, int(str(row["pairs"])))))
    return min(found, key=(Verdict.MISSED, Verdict.NOT_YET, Verdict.MET).index).value


def _told(row: dict[str, object]) -> str:
    """A row of the summary in words."""

    def shown(key: str, digits: int) -> str:
        median, low, high = _of(row, key)
        return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"

    lines = [f"{row['scenario']}: median (95 % interval; of fewer than 6 rounds lowest and highest)"]
    for server in ("pushletd", "nginx"):
        if f"{server}_server_busy" in row:
            cpu = shown(f"{server}_server_cpu_us_per_request", 2)
            lines.append(f"    {server}: {shown(f'{server}_requests_per_second', 0)} requests/s, {cpu} us CPU each")
            lines.append(f"        busy: server {shown(f'{server}_server_busy', 2)}, wrk {shown(f'{server}_generator_busy', 2)}")
    if "rate_ratio" in row:
        lines.append(f"    pushletd / nginx: requests/s {shown('rate_ratio', 3)}, requests for each second of CPU {shown('capacity_ratio', 3)}")
        lines.append(f"    target, both at least {RATIO_MIN}: {verdict(row)} ({row['pairs']} pairs)")
    if row["bad"]:
        lines.append(f"    {row['bad']} runs had wrong answers or broken connections and do not count")
    return "\n".join(lines)


def run(context: Context) -> bool:
    """All scenarios in rounds, both servers of a round in turn, the order alternating; every run goes to `context.record`.

    Returns whether all answers of all runs were right. Raises Refused if a program is missing or fails.
    """
    quick = bool(getattr(context, "quick", False))
    rounds = getattr(context, "rounds", None) or (QUICK_ROUNDS if quick else ROUNDS)
    seconds = getattr(context, "seconds", None) or (QUICK_SECONDS if quick else SECONDS)
    only = getattr(context, "only", None) or [scenario.name for scenario in SCENARIOS]
    unknown = set(only) - {scenario.name for scenario in SCENARIOS}
    if unknown:
        raise Refused(f"wrk knows no {', '.join(sorted(unknown))}; there are {', '.join(scenario.name for scenario in SCENARIOS)}")
    if shutil.which("wrk") is None:
        raise Refused("wrk is missing: apt-get install wrk")
    ours, theirs = processors(True)
    bound = bool(pinned(ours))
    alone, together = f"the server on processor {ours}, wrk on {theirs}", "nothing is bound to a processor: server and wrk take from each other"
    context.say(alone if bound else together)
    runs: list[dict[str, object]] = []
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="pushletd-wrk-") as folder:
        try:
            servers.append(start_pushletd(Path(context.pushletd), Path(folder), cpus=ours))
            servers.append(start_peer("nginx", Path(folder), cpus=ours))
            for scenario in SCENARIOS:
                if scenario.name in only:
                    runs.extend(_rounds(context, scenario, servers, rounds, seconds))
        finally:
            for server in servers:
                server.stop()
    return all(one["good"] for one in runs)


def _rounds(context: Context, scenario: Scenario, servers: list[Server], rounds: int, seconds: int) -> list[dict[str, object]]:
    """The rounds of one scenario, told at its end."""
    runs = []
    taking_part = servers if scenario.against is not None else servers[:1]
    for number in range(1, rounds + 1):
        for server in taking_part if number % 2 else reversed(taking_part):
            server.settle()
            one = measure(scenario, server, seconds, number)
            context.record(one)
            runs.append(one)
            if not one["good"]:
                context.say(f"{scenario.name}, {server.name}: {one['wrong']} wrong answers, {one['broken']} broken connections; {one['first_wrong']}")
    for row in summary(runs):
        context.say(_told(row))
    return runs


class _Alone:
    """The context of the command line."""

    def __init__(self, words: argparse.Namespace) -> None:
        self.pushletd, self.rounds, self.seconds, self.only = words.pushletd, words.rounds, words.seconds, words.only

    def record(self, one: dict[str, object]) -> None:
        print(json.dumps(one), flush=True)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pushletd", type=Path, required=True, help="a release build")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each run")
    parser.add_argument("--only", nargs="+", choices=[scenario.name for scenario in SCENARIOS])
    try:
        return 0 if run(_Alone(parser.parse_args())) else 1
    except (OSError, Refused) as error:
        print(f"wrk: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
