"""Processes that the tests start, and how they wait for them: for a condition, with a deadline, never for a time."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / "target" / "doors"
PUSHLETD = os.environ.get("PUSHLETD") or str(ROOT / "target" / "release" / "pushletd")
# Much longer than anything takes on a busy machine: who waits so long has found a mistake.
SOON_S = float(os.environ.get("SOON_S", "30"))


def wait_for(what, condition, deadline_s=SOON_S):
    """Returns what `condition` returns as soon as that is true."""
    until = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {deadline_s} s: {what() if callable(what) else what}"
        threading.Event().wait(0.01)
    return found


class Process:
    """A program with its output gathered. It is ended with everything that it started."""

    def __init__(self, command, **options):
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **options.pop("environment", {})}
        self.command = command
        self.process = subprocess.Popen(
            # Who is killed cannot end what it has started: the kernel does.
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
            **options,
        )
        self._out, self._err = bytearray(), bytearray()
        self._readers = [
            threading.Thread(target=self._gather, args=(pipe, into), daemon=True)
            for pipe, into in ((self.process.stdout, self._out), (self.process.stderr, self._err))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _gather(pipe, into):
        while piece := os.read(pipe.fileno(), 65536):
            into.extend(piece)

    def out(self):
        return self._out.decode()

    def err(self):
        return self._err.decode()

    def told(self):
        return f"{self.command}\n--- out\n{self.out()}\n--- err\n{self.err()}"

    def wait_out(self, condition):
        """Waits until its output is as wanted; says what it was if it never is."""

        def look():
            found = condition(self.out())
            assert found or self.process.poll() is None, f"ended with {self.process.returncode}: {self.told()}"
            return found

        return wait_for(self.told, look)

    def wait_end(self):
        """Waits for its end and the end of its output. Returns its status."""
        try:
            self.process.wait(SOON_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end: {self.told()}") from None
        for reader in self._readers:
            reader.join(SOON_S)
        return self.process.returncode

    def stop(self, how=signal.SIGKILL):
        """Ends it. Its children are in its own session, which nothing else is in."""
        if self.process.stdout.closed:
            return
        if self.process.poll() is None:
            if how == signal.SIGKILL:
                os.killpg(self.process.pid, how)
            else:
                self.process.send_signal(how)
        self.wait_end()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Server(Process):
    """A pushletd on free ports."""

    def __init__(self, *flags, config="", files=None, cores="2"):
        self._folder = tempfile.TemporaryDirectory(prefix="pushletd-doors-")
        file = pathlib.Path(self._folder.name) / "pushletd.toml"
        file.write_text(config)
        for name, text in (files or {}).items():
            beside = file.parent / name
            beside.write_text(text)
            beside.chmod(0o600)
        own = [
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--demo",
            "off",
            "--cores",
            cores,
            "--drain-time",
            "2s",
        ]
        super().__init__([PUSHLETD, "--config", str(file), *own, *flags])
        try:
            said = self.wait_out(
                lambda out: re.search(r"listening on http://(\S+):(\d+)/\nadmin on http://(\S+)/?\n", out)
            )
        except BaseException:
            # Whoever has no server cannot stop it.
            self.stop()
            raise
        self.host, self.port = said[1], int(said[2])
        self.admin = said[3].rstrip("/")
        self.url = f"http://{self.host}:{self.port}"

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=SOON_S) as answer:
            text = answer.read().decode()
        found = re.search(rf"^pushletd_{name} (\d+)$", text, re.MULTILINE)
        assert found, f"no metric {name} in\n{text}"
        return int(found[1])

    def wait_metric(self, name, value):
        wait_for(lambda: f"{name} is {self.metric(name)}, not {value}", lambda: self.metric(name) == value)

    def stop(self, how=signal.SIGKILL):
        super().stop(how)
        self._folder.cleanup()
