"""Stops one thread of another process until standard input ends; says `held` when it stands still.

Use: hold.py THREAD, or hold.py PROGRAM ARGUMENT... to run a program whose threads may be held where the kernel asks for its consent (Yama).
"""

import ctypes
import os
import sys

PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, ctypes.c_ulong(-1)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_FOR_THREADS = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def trace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        sys.exit(f"ptrace {request}: {os.strerror(ctypes.get_errno())}")


def main():
    if not sys.argv[1].isdigit():
        # An error means that nobody asks for consent.
        libc.prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
        os.execvp(sys.argv[1], sys.argv[1:])
    thread = int(sys.argv[1])
    trace(PTRACE_SEIZE, thread)
    trace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WAIT_FOR_THREADS)
    print("held", flush=True)
    sys.stdin.read()
    # A thread that has ended meanwhile is let go by our own end.
    libc.ptrace(PTRACE_DETACH, thread, None, None)


main()
