"""Limits: trees of control groups as Linux lays them out, with what a person reads out of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dualpix.machine import limits

AFFINITY = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
UNLIMITED = "9223372036854771712"  # how version 1 says it


def tree(folder: Path, cgroup: str, **files: str) -> tuple[Path, Path]:
    """A mount of control groups with these files (`/` written `__`), and a /proc in which `cgroup` names the group."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, content in files.items():
        path = folder / "mount" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    (folder / "mount").mkdir(exist_ok=True)
    return folder / "mount", folder / "proc"


STAT = "anon 70\nfile 40\ninactive_file 30\nactive_file 10"
MEMORY = {
    "none": ("0::/\n", {}, None),
    "version 2, a container": ("0::/\n", {"memory.max": "500", "memory.current": "150", "memory.stat": STAT}, 390),
    "version 2, no limit": ("0::/\n", {"memory.max": "max", "memory.current": "150"}, None),
    "version 2, a service": ("0::/system.slice/d.service\n", {"system.slice__d.service__memory.max": "900"}, 900),
    "version 2, that slows down": ("0::/a\n", {"a__memory.max": "max", "a__memory.high": "800"}, 800),
    "version 2, nested in a tighter one": (
        "0::/a/b\n",
        {"a__memory.max": "600", "a__memory.current": "500", "a__b__memory.max": "400", "a__b__memory.current": "100"},
        100,
    ),
    "version 1, as root sees it": (
        "4:memory:/docker/abc\n",  # named as from outside, where that folder is
        {"memory__memory.limit_in_bytes": "500", "memory__memory.usage_in_bytes": "100"},
        400,
    ),
    "version 1, nested": (
        "4:memory:/a/b\n0::/\n",
        {
            "memory__memory.limit_in_bytes": UNLIMITED,
            "memory__a__memory.limit_in_bytes": "700",
            "memory__a__memory.usage_in_bytes": "300",
            "memory__a__memory.stat": "active_file 1\ntotal_active_file 50\ntotal_inactive_file 50",
            "memory__a__b__memory.limit_in_bytes": UNLIMITED,
        },
        500,
    ),
    "version 1, limited from above": (
        "4:memory:/\n",
        {"memory__memory.limit_in_bytes": UNLIMITED, "memory__memory.stat": "hierarchical_memory_limit 640"},
        640,
    ),
    "both, as on systems in between": (
        "4:memory:/a\n0::/a\n",
        {"memory__a__memory.limit_in_bytes": "300", "unified__a__memory.max": "200"},
        200,
    ),
    "more in use than allowed": ("0::/\n", {"memory.max": "500", "memory.current": "600"}, 0),
    "a name that leads out": ("0::/../../x\n", {"memory.max": "70"}, 70),
    "version 1, without a limit": (
        "4:memory:/\n",
        {"memory__memory.limit_in_bytes": UNLIMITED, "memory__memory.usage_in_bytes": "100"},
        None,
    ),
    "nonsense": ("what is this\n", {"memory.max": "", "memory.stat": "x"}, None),
}


@pytest.mark.parametrize("case", MEMORY)
def test_the_tightest_limit_of_memory_counts(case: str, tmp_path: Path) -> None:
    cgroup, files, expected = MEMORY[case]
    assert limits.free_bytes(*tree(tmp_path, cgroup, **files)) == expected


CORES = {
    "none": ("0::/\n", {}, AFFINITY),
    "version 2": ("0::/\n", {"cpu.max": "100000 100000"}, 1),
    "version 2, less than one": ("0::/\n", {"cpu.max": "20000 100000"}, 1),
    "version 2, no limit": ("0::/\n", {"cpu.max": "max 100000"}, AFFINITY),
    "version 2, nested in a tighter one": ("0::/a/b\n", {"a__cpu.max": "50000 50000", "a__b__cpu.max": "max 9"}, 1),
    "version 1": (
        "2:cpu,cpuacct:/docker/abc\n",
        {"cpu,cpuacct__cpu.cfs_quota_us": "100000", "cpu,cpuacct__cpu.cfs_period_us": "100000"},
        1,
    ),
    "version 1, nested": ("1:cpu:/a\n", {"cpu__a__cpu.cfs_quota_us": "5000", "cpu__a__cpu.cfs_period_us": "5000"}, 1),
    "version 1, no limit": ("1:cpu:/\n", {"cpu__cpu.cfs_quota_us": "-1", "cpu__cpu.cfs_period_us": "1000"}, AFFINITY),
    "more than there are": ("0::/\n", {"cpu.max": "99900000 100000"}, AFFINITY),
    "nonsense": ("", {"cpu.max": "0 0"}, AFFINITY),
}


@pytest.mark.parametrize("case", CORES)
def test_a_quota_leaves_so_many_cores(case: str, tmp_path: Path) -> None:
    cgroup, files, expected = CORES[case]
    assert limits.cores(*tree(tmp_path, cgroup, **files)) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity to set")
def test_affinity_leaves_so_many_cores() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from dualpix.machine import limits; print(limits.cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="where the size of a process stands in /proc")
def test_ulimit_counts() -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
    code += "from dualpix.machine import limits; print(limits.free_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert 500_000_000 < int(done.stdout) < 10**9
