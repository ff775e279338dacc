"""How much memory is free on a device, and whether an error says that it ran out."""

import torch

from saevit.machine import free_memory


def available_memory(device: str) -> int:
    """Return the bytes that can still be allocated on `device` without swapping or being killed."""
    kind = torch.device(device).type
    if kind == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = free_memory()
    if kind == "mps":  # shares the main memory, and has a ceiling of its own
        free = min(free, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return max(free, 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed, in whichever way the device says so."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("can't allocate memory" in text or "out of memory" in text)
