"""How much of the machine this process may use: what its control groups, a container's limits, say."""

import os
from pathlib import Path

ROOT = Path("/")  # where proc and sys are mounted
# control group version 1 and 2 name the same three things differently
_LIMIT = ("memory.max", "memory.limit_in_bytes")
_USAGE = ("memory.current", "memory.usage_in_bytes")
_RECLAIMABLE = ("inactive_file", "total_inactive_file")


def usable_cores() -> int:
    """Return how many cores this process may keep busy: its affinity, cut by the quota of its container."""
    linux = hasattr(os, "sched_getaffinity")
    allowed = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    quotas = [quota for folder in cgroup_folders("cpu") if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *(int(quota) for quota in quotas)]))


def free_memory() -> int:
    """Return the bytes of main memory that can still be allocated without swapping or being killed."""
    import psutil  # type: ignore[import-untyped]

    return max(0, min([int(psutil.virtual_memory().available), *_left_in_groups()]))


def cgroup_folders(controller: str) -> list[Path]:
    """Return the control groups this process is in, innermost first, as far as a container shows them."""
    try:
        lines = (ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []  # not Linux
    folders: list[Path] = []
    for line in lines:
        _, names, group = line.split(":", 2)
        if names == "" or controller in names.split(","):
            mount = ROOT / "sys/fs/cgroup" / names  # names is empty in version 2
            inner = mount / group.lstrip("/")
            folders += [path for path in (inner, *inner.parents) if path.is_relative_to(mount)]
    return [folder for folder in folders if folder.is_dir()]


def _quota(folder: Path) -> float | None:
    """Return a control group's limit in cores, None where it has none."""
    try:
        if (folder / "cpu.max").exists():  # version 2: "quota period", in microseconds
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such limit, or "max"
        return None


def _left_in_groups() -> list[int]:
    """Return the bytes left under each limit; page cache that can be dropped counts as left."""
    left = []
    for folder in cgroup_folders("memory"):
        limit, usage = _number(folder, _LIMIT), _number(folder, _USAGE)
        if limit is not None and usage is not None:
            left.append(limit - usage + _reclaimable(folder))
    return left


def _number(folder: Path, names: tuple[str, ...]) -> int | None:
    for name in names:
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):  # absent, or "max"
            continue
    return None


def _reclaimable(folder: Path) -> int:
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    stat = dict(line.split(" ", 1) for line in lines)
    return next((int(stat[name]) for name in reversed(_RECLAIMABLE) if name in stat), 0)
