"""How much memory there is."""

import os
from pathlib import Path

GROUP = Path("/sys/fs/cgroup")  # of Linux: what containers are limited by
GB = 10**9


def free_memory() -> float:
    """Gigabytes that this process may still take, of the machine and of its control group."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free.append(int(line.split()[1]) * 1024)
    for limit, used in zip(_lines(GROUP / "memory.max"), _lines(GROUP / "memory.current"), strict=False):
        if limit.isdecimal():
            free.append(max(int(limit) - int(used), 0))
    return min(free) / GB


def _lines(path):
    try:
        return path.read_text("utf-8").splitlines()
    except OSError:
        return []
