"""How much of the machine this process may use: what its control groups, a container's limits, say."""

import os
from pathlib import Path

ROOT = Path("/")  # where proc and sys are mounted


def usable_cores() -> int:
    """Return how many cores this process may keep busy: its affinity, cut by the quota of its container."""
    linux = hasattr(os, "sched_getaffinity")
    allowed = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
    quotas = [quota for folder in cgroup_folders("cpu") if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *(int(quota) for quota in quotas)]))


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
