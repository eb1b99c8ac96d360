"""Processes: started so that none outlives us, looked at in /proc, ended by their numbers."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# Below the ports that the kernel gives to outgoing connections: a load generator uses up many thousand of those.
_PORTS = range(10_240, 32_000)


def adopt_orphans() -> None:
    """From now on grandchildren whose parent ends become our children, so that they can be found and ended."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def start(
    words: Sequence[str | Path],
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a program in a session of its own (a Ctrl-C at the terminal is for us alone) that gets SIGTERM when we die."""
    return subprocess.Popen(
        [str(word) for word in words],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    for _ in range(1000):
        port = random.choice(_PORTS)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port was found on 127.0.0.1")


def wait_until(what: str, seconds: float, condition: Callable[[], bool], pause: float = 0.02) -> None:
    """Asks until the condition holds.

    Raises TimeoutError, which names what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(pause)


def accepts(port: int) -> bool:
    """Whether somebody listens at the port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                found[int(entry)] = int(fields[1])
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on, none if there is no such process. The name before them may hold blanks."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, nearest first."""
    below: dict[int, list[int]] = {}
    for child, parent in parents().items():
        below.setdefault(parent, []).append(child)
    found = list(below.get(pid, []))
    for at in found:
        found.extend(below.get(at, []))
    return found


def name_of(pid: int) -> str:
    """The short name of a process, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether it runs; a process that ended and was not waited for does not."""
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def cpu_seconds(pids: Sequence[int]) -> float:
    """Processor time of all threads of the processes, to the nanosecond where the kernel says so."""
    total = 0.0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def resident_bytes(pids: Sequence[int]) -> int:
    """Resident memory of the processes together."""
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def end(child: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """Asks a child of ours to end, and ends it and all below it if they do not within the time."""
    if child.poll() is not None:
        return
    below = descendants(child.pid)
    _signal(child.pid, signal.SIGTERM)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for pid in below:
        if alive(pid):
            _signal(pid, signal.SIGKILL)
