"""What this process may use of the machine: the memory and cores that control groups, affinity and `ulimit` leave it.

A control group (man 7 cgroups) is of version 1 or 2, and can lie inside others that have limits of their own: the
tightest one counts. `/proc/self/cgroup` gives its path as seen from outside a container; inside the container only
some group above it may be mounted, at worst the mount point itself.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")
NO_LIMIT = 2**60
"""Bytes: version 1 writes "no limit" as the largest number of whole pages that it can count."""


def cores(mounted: Path = CGROUP, proc: Path = PROC) -> int:
    """Return how many cores this process can keep busy: those of its affinity, or fewer by a quota; at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in _groups("cpu", mounted, proc) if (quota := _quota(group)) is not None]
    return max(1, round(min([count, *quotas])))


def free_bytes(mounted: Path = CGROUP, proc: Path = PROC) -> int | None:
    """Return the bytes of memory that control groups and `ulimit -v` still allow this process; None without a limit."""
    free = [left for group in _groups("memory", mounted, proc) if (left := _left(group)) is not None]
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int((proc / "self" / "statm").read_text().split()[0])
            free.append(limit - pages * resource.getpagesize())
    return max(0, min(free)) if free else None


def _groups(controller: str, mounted: Path, proc: Path) -> Iterator[Path]:
    """The folders of the groups that hold this process, of both versions, inner ones first."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        lines = []
    entries = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    # In version 1 folders are named after all controllers that share them, or each is a link of its own name.
    places = [(names, path) for _, names, path in entries if controller in names.split(",")]
    roots = {mounted / name: path for names, path in places for name in (names, controller)}
    unified = next((path for _, names, path in entries if not names), "/")
    roots = {mounted / controller: "/", **roots, mounted: unified, mounted / "unified": unified}
    for root, path in roots.items():
        inside = PurePosixPath(path.lstrip("/"))
        for folder in (inside, *inside.parents):
            if ".." not in folder.parts and (root / folder).is_dir():
                yield root / folder


def _quota(group: Path) -> float | None:
    """Cores that the group may keep busy."""
    quota, period = (_words(group / "cpu.max") + ["", ""])[:2]
    if not quota:
        quota, period = ("".join(_words(group / f"cpu.cfs_{name}_us")[:1]) for name in ("quota", "period"))
    with suppress(ValueError):  # "max", or nothing
        if int(quota) > 0 and int(period) > 0:
            return int(quota) / int(period)
    return None


def _left(group: Path) -> int | None:
    """Bytes that the group may still use. Cached file contents do not count as used, since the system can drop them."""
    stat = dict(line.split()[:2] for line in _lines(group / "memory.stat") if len(line.split()) > 1)
    found = [_words(group / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    limits = [int(words[0]) for words in found if words and words[0].isdigit()]
    limits += [int(stat["hierarchical_memory_limit"])] if "hierarchical_memory_limit" in stat else []
    limits = [limit for limit in limits if limit < NO_LIMIT]
    used = [_words(group / name) for name in ("memory.current", "memory.usage_in_bytes")]
    if not limits:
        return None
    files = sum(int(stat.get(f"total_{kind}_file", stat.get(f"{kind}_file", 0))) for kind in ("active", "inactive"))
    return min(limits) - max(0, next((int(words[0]) for words in used if words), 0) - files)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()
