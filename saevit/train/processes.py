"""Processes that train one network together, as torchrun and accelerate start them."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from saevit.errors import OptionError, SaevitError, need
from saevit.measure.conditions import resolve_device
from saevit.text import abbreviated, printable, read_whole

COUNT = "WORLD_SIZE"  # the environment variable with the number of processes
MAX_PROCESSES = 2**16
MEET_TIMEOUT = 120.0  # seconds to wait for the other processes
T = TypeVar("T")


class OtherProcessError(SaevitError):
    """Another process failed, and reports the reason."""


class OwnProcessError(SaevitError):
    """A failure that may concern one process only, so the process that meets it reports it."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process among those that train together."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Tell whether this process writes the files and reports to the user."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the network with gradients averaged over the processes, and the buffers of the first."""
        if self.count == 1:
            return model
        ids = None if self.device.type == "cpu" else [self.device]
        return DistributedDataParallel(model, device_ids=ids)

    def no_sync(self, model: nn.Module) -> AbstractContextManager[object]:
        """Return a block in which each process accumulates gradients without averaging them."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.count > 1:
            values = values.to(self.device)
            distributed.all_reduce(values)
        return values

    def share_buffers(self, model: nn.Module) -> None:
        """Copy the running statistics of the first process to the others."""
        if self.count > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def run_in_first(self, work: Callable[[], T]) -> T | None:
        """Run the work in the first process; if it fails, all processes fail, as in `run_in_all`."""
        return self.run_in_all(lambda: work() if self.is_first else None)

    def run_in_all(self, work: Callable[[], T]) -> T:
        """Run the work in every process; if one fails, all fail, and the first that failed reports it.

        Raises:
            SaevitError: in the process that reports, its error (an OwnProcessError if it is not the first
                process); OtherProcessError in the others.
        """
        failure: SaevitError | None = None
        try:
            result = work()
        except SaevitError as error:
            failure = error
        failed = self.sum(
            torch.tensor([float(failure is not None and i == self.rank) for i in range(self.count)])
        )
        if not failed.any():
            return result
        if failure is None or self.rank != int(failed.argmax()):
            raise OtherProcessError("another process stopped")
        raise failure if self.is_first else OwnProcessError(str(failure)) from failure


def is_first_process(variables: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the launcher's variables make this the first process; a single process always is."""
    return variables.get(COUNT, "1") in ("", "1") or variables.get("RANK", "0") in ("", "0")


def count_processes(variables: Mapping[str, str] = os.environ) -> int:
    """Return the number of processes that a launcher started; 1 without a launcher.

    Raises:
        OwnProcessError: the launcher's variables are incomplete or invalid, such as left over in a shell.
    """
    if not variables.get(COUNT):
        return 1
    count = read_variable(variables, COUNT, 1, MAX_PROCESSES)
    if count > 1:
        read_variable(variables, "RANK", 0, count - 1)
        read_variable(variables, "LOCAL_RANK", 0, count - 1)
        read_variable(variables, "MASTER_PORT", 1, 2**16 - 1)
        if not variables.get("MASTER_ADDR"):
            raise variable_error("MASTER_ADDR", "", "the address of the first process")
    return count


def read_variable(variables: Mapping[str, str], name: str, least: int, most: int) -> int:
    """Read a whole number that a launcher set."""
    text = variables.get(name, "")
    with contextlib.suppress(ValueError):
        if least <= (value := read_whole(text)) <= most:
            return value
    raise variable_error(name, text, f"a whole number from {least} to {most}")


def variable_error(name: str, text: str, rule: str) -> OwnProcessError:
    """Return the error for a variable that a launcher would not set like this."""
    problem = f"is {abbreviated(text)!r}" if text else "is not set"
    return OwnProcessError(
        f"{name} {problem} and {COUNT} is {abbreviated(os.environ.get(COUNT, ''))}: {rule}, as torchrun sets "
        f"it; to train in one process, unset {COUNT}"
    )


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Connect to the other processes if a launcher started several, and disconnect at the end.

    Args:
        device: as the user names it; each of several processes gets its own accelerator.

    Raises:
        MissingPackageError: there are several processes, and accelerate is not installed.
        OptionError: no such device, or a numbered one for several processes.
        OwnProcessError: the other processes cannot be reached.
    """
    count = count_processes()
    if count == 1:
        yield Processes(device=torch.device(resolve_device(device)))
        return
    if ":" in device:
        raise OptionError(f"--device {device}: several processes use a device each, leave out the number")
    state = connect(count, on_cpu=device == "cpu" or not torch.accelerator.is_available())
    try:
        own = torch.device("cpu") if state.device.type == "cpu" else state.device
        processes = Processes(device=own, rank=state.process_index, count=state.num_processes)
        processes.run_in_all(lambda: resolve_device(device))
        yield processes
    finally:
        state.destroy_process_group()


def connect(count: int, *, on_cpu: bool) -> Any:
    """Return accelerate's state of this process once all processes are connected."""
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    make_state = need("accelerate", "train").PartialState
    rendezvous_done: Future[Any] = Future()

    def meet() -> None:
        try:
            rendezvous_done.set_result(next(rendezvous("env://", timeout=timedelta(seconds=MEET_TIMEOUT))))
        except Exception as error:
            rendezvous_done.set_exception(error)

    Thread(target=meet, daemon=True).start()  # rendezvous ignores Ctrl-C, waiting for a thread does not
    try:
        store, rank, _ = rendezvous_done.result()
        store.set_timeout(distributed.default_pg_timeout)
        return make_state(cpu=on_cpu, store=store, rank=rank, world_size=count)
    except Exception as error:  # from sockets, host names and backends
        reason = printable(str(error).partition("\n")[0])
        raise OwnProcessError(
            f"{count} processes ({COUNT}) cannot connect at {printable(address)} (MASTER_ADDR, MASTER_PORT): "
            f"{reason}; to train in one process, unset {COUNT}"
        ) from error
