"""Several processes that train one network, as torchrun and accelerate start them; one needs neither."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from saevit.errors import OptionError, SaevitError, need


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those that train together."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Is it the one that writes and speaks?"""
        return self.rank == 0

    def wrapped(self, model: nn.Module) -> nn.Module:
        """Return the network with gradients averaged over the processes; the first one's buffers count."""
        if self.count == 1:
            return model
        ids = None if self.device.type == "cpu" else [self.device]
        return DistributedDataParallel(model, device_ids=ids)

    def apart(self, model: nn.Module) -> AbstractContextManager[object]:
        """Return a block in which gradients gather in each process, and are not averaged yet."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def summed(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, in each of them."""
        if self.count > 1:
            values = values.to(self.device)
            distributed.all_reduce(values)
        return values

    def share_buffers(self, *models: nn.Module) -> None:
        """Give all processes the first one's running statistics."""
        if self.count > 1:
            for model in models:
                for buffer in model.buffers():
                    distributed.broadcast(buffer, 0)

    def first_does(self, work: Callable[[], object]) -> None:
        """Let the first process work; where it fails, all stop.

        Raises:
            SaevitError: what the first one raised; Elsewhere in the others.
        """
        failure: SaevitError | None = None
        if self.is_first:
            try:
                work()
            except SaevitError as error:
                failure = error
        if self.count > 1:
            flag = torch.tensor([failure is not None], dtype=torch.int32, device=self.device)
            distributed.broadcast(flag, 0)
            if flag.item() and failure is None:
                raise Elsewhere("the first process stopped")
        if failure:
            raise failure


class Elsewhere(SaevitError):  # noqa: N818 - says where the reason is
    """The reason is told by the first process."""


def is_first_of(variables: Mapping[str, str] = os.environ) -> bool:
    """Is this, by what its launcher says, the process that speaks?"""
    return variables.get("RANK", "0") in ("", "0")


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Meet the other processes, if a launcher started several, and part at the end.

    Args:
        device: as `resolve_device` gives it; several processes on accelerators get one each.

    Raises:
        MissingPackageError: there are several, and accelerate is not installed.
        OptionError: a device of its own for several processes.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) == 1:
        yield Processes(device=torch.device(device))
        return
    if ":" in device:
        raise OptionError(f"--device {device}: several processes take a device each, leave out the number")
    state: Any = need("accelerate", "train").PartialState(cpu=device == "cpu")
    try:
        found = torch.device("cpu") if state.device.type == "cpu" else state.device
        yield Processes(device=found, rank=state.process_index, count=state.num_processes)
    finally:
        state.destroy_process_group()
