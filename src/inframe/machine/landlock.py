"""Landlock: this process may reach no path, no TCP port, and no process outside itself, whoever's rights it has.

Source: linux/landlock.h, landlock(7). By number, as kernel.py has it; the numbers are the same on every processor.
"""

import ctypes
import os

from inframe.machine import kernel

CREATE_RULESET, RESTRICT_SELF = 444, 446
_VERSION = 1
_FS = (0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)
"""All file-system rights that each ABI knows, from 1 on."""
_NET = 0x3  # bind and connect TCP, from ABI 4 on
_SCOPES = 0x3  # abstract sockets and signals, from ABI 6 on


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def version() -> int:
    """The kernel's ABI, 1 and up; 0 where it has none."""
    try:
        return kernel.syscall(CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def restrict() -> int:
    """Grant nothing, for good; returns the ABI. Needs no_new_privs. Raises OSError where the kernel has no Landlock."""
    abi = version()
    if abi < 1:
        raise OSError(38, "this kernel has no Landlock")
    rules = _Ruleset(_FS[min(abi, len(_FS)) - 1], _NET if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    fd = kernel.syscall(CREATE_RULESET, ctypes.byref(rules), size, 0)
    try:
        kernel.syscall(RESTRICT_SELF, fd, 0)
    finally:
        os.close(fd)
    return abi
