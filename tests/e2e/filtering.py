#!/usr/bin/env python3
"""Become a command below a system call filter that ends whoever makes one of some calls.

filtering.py NUMBER[,NUMBER...] COMMAND [ARGUMENT...]
"""

import ctypes
import os
import struct
import sys

PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
LOAD_NUMBER, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000


def main() -> None:
    """Install the filter by prctl(2), as service managers do."""
    calls = [int(word) for word in sys.argv[1].split(",")]
    program = struct.pack("HBBI", LOAD_NUMBER, 0, 0, 0)
    for index, call in enumerate(calls):
        program += struct.pack("HBBI", JUMP_EQUAL, len(calls) - index, 0, call)
    program += struct.pack("HBBI", RETURN, 0, 0, ALLOW) + struct.pack("HBBI", RETURN, 0, 0, KILL_PROCESS)
    held = ctypes.create_string_buffer(program)
    libc = ctypes.CDLL(None, use_errno=True)
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(calls) + 3, ctypes.addressof(held)))
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0) == 0, ctypes.get_errno()
    os.execvp(sys.argv[2], sys.argv[2:])


main()
