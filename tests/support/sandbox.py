"""Runs a program under a filter that refuses unshare(2) and io_uring_setup(2) with EPERM, as container runtimes do.

Use: sandbox.py PROGRAM ARGUMENT...
"""

import ctypes
import os
import platform
import struct
import sys

# The numbers of asm/unistd.h: architecture of the filter, unshare, io_uring_setup.
NUMBERS = {"x86_64": (0xC000003E, 272, 425), "aarch64": (0xC00000B7, 97, 425)}
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
ALLOW, REFUSE_WITH_EPERM = 0x7FFF0000, 0x00050000 | 1
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06


class Program(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


def main():
    architecture, unshare, io_uring_setup = NUMBERS[platform.machine()]
    steps = [
        (LOAD_WORD, 0, 0, 4),
        (JUMP_IF_EQUAL, 0, 3, architecture),
        (LOAD_WORD, 0, 0, 0),
        (JUMP_IF_EQUAL, 2, 0, unshare),
        (JUMP_IF_EQUAL, 1, 0, io_uring_setup),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE_WITH_EPERM),
    ]
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = Program(len(steps), ctypes.addressof(packed))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) != 0:
        sys.exit(f"no_new_privs: {os.strerror(ctypes.get_errno())}")
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program), zero, zero) != 0:
        sys.exit(f"the filter: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])


main()
