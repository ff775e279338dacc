"""How much of the machine this process may use, by its control groups too, and what fits in it."""

import contextlib
import os
import sys
from pathlib import Path

from saevit.errors import MemoryLimitError

ROOT = Path("/")  # where proc and sys are mounted
# control group version 1 and 2 name the same three things differently
_LIMIT = ("memory.max", "memory.limit_in_bytes")
_USAGE = ("memory.current", "memory.usage_in_bytes")
_RECLAIMABLE = ("inactive_file", "total_inactive_file")
# What a process takes over what is counted: the worst rows of benchmarks/peak_memory.py (torch 2.14, CPU).
BUILDING, FOLDING = 1.2, 6.1  # times the weights, while they are made; folding computes in float64
HELD = 2.2  # times the weights afterwards: as built, and as placed or packed
PASSING, SCRATCH = 1.5, 70e6  # times the counted peak of live activations, and bytes whatever they are
BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
THREADS_A_CORE = 8


def affinity(process: int = 0) -> int:
    """Return how many cores a process may run on; 0 is this one, by the thread that asks."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len(os.sched_getaffinity(process))


def is_bound() -> bool:
    """Do variables let OpenMP bind threads to cores?"""
    return any(name in os.environ for name in BINDING)


UNBOUND = affinity()  # when saevit is imported
if "torch" in sys.modules and is_bound():  # too late to ask here
    with contextlib.suppress(OSError):  # no parent that can be seen
        UNBOUND = affinity(os.getppid())


def usable_cores() -> int:
    """Return how many cores this process may keep busy: its affinity, cut by the quota of its container."""
    allowed = max(UNBOUND, affinity()) if is_bound() else affinity()
    quotas = [quota for folder in cgroup_folders("cpu") if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *(int(quota) for quota in quotas)]))


def most_threads() -> int:
    """Return how many threads to ask an OpenMP library for: it ends a process that cannot start them."""
    return THREADS_A_CORE * (os.cpu_count() or 1)


def free_memory() -> int:
    """Return the bytes of main memory that can still be allocated without swapping or being killed."""
    import psutil  # type: ignore[import-untyped]

    return max(0, min([int(psutil.virtual_memory().available), *_left_in_groups()]))


def check_fits(
    what: str,
    weights: float,
    image: float,
    *,
    free: float,
    way_out: str,
    batch: int = 1,
    folds: bool = False,
    device: str = "cpu",
) -> None:
    """Refuse weights and live activations of each image, counted in bytes, that cannot fit in what is free.

    Raises:
        MemoryLimitError: with what was measured on top they cannot; names the batch that fits, or `way_out`.
    """
    building, held = (FOLDING if folds else BUILDING) * weights, HELD * weights + SCRATCH
    needed = max(building, held + PASSING * image * batch)
    if needed > free:
        fitting = int((free - held) // (PASSING * image)) if building <= free else 0
        nearest = f"--batch-size {fitting}" if 1 <= fitting < batch else way_out
        raise MemoryLimitError(
            f"{what} needs {needed / 1e9:.3g} GB, {HELD * weights / 1e9:.3g} of them for weights, and "
            f"{free / 1e9:.3g} GB are free on {device}: nearest is {nearest}"
        )


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
