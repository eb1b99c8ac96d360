"""The echo server of echo.rs, twice: without compression and with it."""

import contextlib
import subprocess


@contextlib.contextmanager
def echoes(program):
    """The ports of both."""
    with contextlib.ExitStack() as stack:
        ports = []
        for arguments in ([], ["--deflate"]):
            process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"{program} did not start")
            ports.append(int(line.rsplit(":", 1)[1]))
        yield ports
