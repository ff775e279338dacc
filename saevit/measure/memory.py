"""How much memory is free, how much was used, and whether an error says that it ran out."""

import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch

from saevit.cgroups import cgroup_folders

# control group version 1 and 2 name the same three things differently
_LIMIT = ("memory.max", "memory.limit_in_bytes")
_USAGE = ("memory.current", "memory.usage_in_bytes")
_RECLAIMABLE = ("inactive_file", "total_inactive_file")


def available_memory(device: str) -> int:
    """Return the bytes that can still be allocated on `device` without swapping or being killed."""
    kind = torch.device(device).type
    if kind == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = min([int(psutil.virtual_memory().available), *_left_in_groups()])
    if kind == "mps":  # shares the main memory, and has a ceiling of its own
        free = min(free, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(free, 0)


def peak_rss() -> int:
    """Return the most bytes of main memory this process has held at once."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed, in whichever way the device says so."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)


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
