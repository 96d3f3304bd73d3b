"""A program that binds with an address in memory which nobody ever delivers: a mapped file of a file system of its own (fuse(4)).

It takes the folder to mount over (in a mount namespace of its own).
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC_PRIVATE = 0x20000, 0x4000 | 0x40000
PROT_READ, MAP_PRIVATE = 1, 2
LOOKUP, GETATTR, OPEN, READ, INIT = 1, 3, 14, 15, 26


def attributes(node: int) -> bytes:
    """What stat(2) says: a folder, and a file of one page."""
    mode = 0o40755 if node == 1 else 0o100644
    return struct.pack("<6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer_of(code: int, node: int) -> bytes | None:
    """The answer to one request; None: there is never one."""
    if code == INIT:
        return struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 16, 12, 65536, 1, 1, 0, *[0] * 8)
    if code == LOOKUP:
        return struct.pack("<4Q2I", 2, 1, 3600, 3600, 0, 0) + attributes(2)
    if code == GETATTR:
        return struct.pack("<Q2I", 3600, 0, 0) + attributes(node)
    if code == OPEN:
        return struct.pack("<Q2I", 1, 0, 0)
    return None


def serve(device: int) -> None:
    """Answer everything but what reads the file."""
    while True:
        request = os.read(device, 1 << 20)
        _, code, unique, node = struct.unpack_from("<2I2Q", request)
        answer = answer_of(code, node)
        if answer is not None:
            os.write(device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
        elif code != READ:
            os.write(device, struct.pack("<IiQ", 16, -38, unique))


def main() -> None:
    """Mount, map, bind."""
    folder = sys.argv[1]
    if LIBC.unshare(CLONE_NEWNS) or LIBC.mount(b"none", b"/", None, MS_REC_PRIVATE, None):
        sys.exit(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if LIBC.mount(b"slow", folder.encode(), b"fuse", 0, options):
        sys.exit(f"no file system: {os.strerror(ctypes.get_errno())}")
    if os.fork() == 0:
        serve(device)
    os.close(device)
    file = os.open(folder + "/file", os.O_RDONLY)
    LIBC.mmap.restype = ctypes.c_void_p
    LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    address = LIBC.mmap(None, 4096, PROT_READ, MAP_PRIVATE, file, 0)
    print("binding", flush=True)
    LIBC.bind(socket.socket().fileno(), ctypes.c_void_p(address), 16)
    print("bound", flush=True)


main()
