"""Processes are found and ended, with what they started."""

import os
import subprocess
import sys
import unittest

import processes

# Starts a child that ignores SIGTERM, says its number, and waits; asked to end, it leaves the child behind.
STUBBORN = """
import signal, subprocess, sys
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
below = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
below.stdout.readline()
print(below.pid, flush=True)
below.wait()
"""


class Ended(unittest.TestCase):
    def test_what_is_below_ends_too(self) -> None:
        child = processes.start([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child.stdout:
            below = int(child.stdout.readline())
        self.assertIn(below, processes.descendants(child.pid))
        self.assertIn(child.pid, processes.descendants(os.getpid()))
        processes.end(child)
        self.assertIsNotNone(child.returncode)
        processes.wait_until("it is gone", 5, lambda: not processes.alive(below))
        processes.end(child)

    def test_figures_of_ourselves(self) -> None:
        self.assertTrue(processes.alive(os.getpid()))
        self.assertGreater(processes.resident_bytes([os.getpid()]), 1_000_000)
        self.assertGreater(processes.cpu_seconds([os.getpid()]), 0)

    def test_a_port_is_free(self) -> None:
        self.assertFalse(processes.accepts(processes.free_port()))

    def test_waiting_ends(self) -> None:
        with self.assertRaisesRegex(TimeoutError, "the moon"):
            processes.wait_until("the moon", 0.05, lambda: False)


if __name__ == "__main__":
    unittest.main()
