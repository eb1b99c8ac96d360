"""Servers that are measured: ours and the peers, each a child of ours until it is stopped."""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import processes

ROOT = Path(__file__).resolve().parent.parent.parent
READY_SECONDS = 30.0
QUIET_SHARE, QUIET_SECONDS, QUIET_WAIT_SECONDS = 0.02, 0.2, 10.0


class Refused(Exception):
    """A server or a tool cannot do what is wanted; the text says why."""


@dataclass
class Server:
    """A server that runs. `started`: how, and to which processors it is bound, as people type it."""

    name: str
    version: str
    url: str
    publish_url: str
    pids: list[int]
    child: subprocess.Popen[bytes]
    said: Path
    started: str

    def stop(self) -> None:
        """Ends it and all its processes."""
        processes.end(self.child, 15.0)

    def alive(self) -> bool:
        """Whether all its processes run."""
        return self.child.poll() is None and all(processes.alive(pid) for pid in self.pids)

    def settle(self) -> None:
        """Waits until it has no more work from what was done before, or for some seconds at most."""
        deadline = time.monotonic() + QUIET_WAIT_SECONDS
        while time.monotonic() < deadline and self.alive():
            before = processes.cpu_seconds(self.pids)
            time.sleep(QUIET_SECONDS)
            if processes.cpu_seconds(self.pids) - before < QUIET_SHARE * QUIET_SECONDS:
                return

    def limits(self) -> str:
        """What ours says about its limits at its start, empty for a peer."""
        found = re.search(r"^limits: (.*)$", self.said.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        return found[1] if found else ""

    def last_words(self) -> str:
        """The end of what it printed."""
        return self.said.read_text(encoding="utf-8", errors="replace")[-1000:].strip()


def pinned(cpus: list[int] | None) -> list[str]:
    """Words before a command that bind it to processors."""
    if not cpus or shutil.which("taskset") is None:
        return []
    return ["taskset", "--cpu-list", ",".join(map(str, cpus))]


def processors(pin: bool) -> tuple[list[int] | None, list[int] | None]:
    """The processors of a server and those of the load generator; None where they are not bound."""
    available = sorted(os.sched_getaffinity(0))
    if not pin or len(available) < 2:
        return None, None
    return available[:1], available[1:]


def _start(words: list[str | Path], said: Path, ready: str) -> tuple[subprocess.Popen[bytes], str]:
    """Starts a program and waits for the line in what it prints.

    Raises Refused.
    """
    with said.open("wb") as output:
        child = processes.start(words, stdout=output, stderr=subprocess.STDOUT)
    line = ""

    def come() -> bool:
        nonlocal line
        text = said.read_text(encoding="utf-8", errors="replace")
        if child.poll() is not None:
            raise Refused(f"it ended with {child.returncode}: {text[-1000:].strip()}")
        found = re.search(ready, text, re.MULTILINE)
        line = found[1] if found else ""
        return found is not None

    try:
        processes.wait_until("it is ready", READY_SECONDS, come)
    except TimeoutError as error:
        processes.end(child)
        raise Refused(str(error)) from error
    except BaseException:
        processes.end(child)
        raise
    return child, line


def version_of(program: Path) -> str:
    """What pushletd says about its version.

    Raises Refused.
    """
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise Refused(f"{program}: {error}; build it (cargo build --release), or name another by --pushletd") from error
    return said.stdout.split()[-1]


def start_pushletd(program: Path, folder: Path, words: tuple[str, ...] = (), cpus: list[int] | None = None) -> Server:
    """Our server, on one core unless the words say otherwise."""
    version = version_of(program)
    cores = () if "--cores" in words else ("--cores", "1")
    said = folder / f"pushletd.{time.monotonic_ns()}.log"
    line = [*pinned(cpus), program, "--listen", "127.0.0.1:0", "--admin", "off", *cores, *words]
    child, url = _start(line, said, r"^listening on (http://\S+)")
    return Server("pushletd", version, url, url, [child.pid], child, said, " ".join("pushletd" if word is program else str(word) for word in line))


def start_peer(name: str, folder: Path, words: tuple[str, ...] = (), cpus: list[int] | None = None) -> Server:
    """Another server, by perf/peers/serve."""
    said = folder / f"{name}.{time.monotonic_ns()}.log"
    line = [*pinned(cpus), ROOT / "perf" / "peers" / "serve", name, *words]
    child, told = _start(line, said, r"^(\{.*\})\n")
    facts = json.loads(told)
    return Server(name, facts["version"], facts["url"], facts["publish_url"], facts["pids"], child, said, " ".join(str(word).replace(f"{ROOT}/", "") for word in line))
