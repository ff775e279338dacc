"""Distributed data-parallel training in several processes, which torchrun or accelerate starts."""

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

COUNT = "WORLD_SIZE"  # environment variable: the number of processes
MAX_PROCESSES = 2**16
CONNECT_TIMEOUT = 120.0  # seconds to wait for the other processes
T = TypeVar("T")


class OtherProcessError(SaevitError):
    """Another process failed and reports its error, so this process reports nothing."""


class OwnProcessError(SaevitError):
    """A failure of this process, which it reports itself, because other processes may not have it."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """This process (its device and rank) and the number of all processes."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Tell whether this is the process that writes the files and the output."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the network in DistributedDataParallel; unchanged in a single process."""
        if self.count == 1:
            return model
        ids = None if self.device.type == "cpu" else [self.device]
        return DistributedDataParallel(model, device_ids=ids)

    def no_sync(self, model: nn.Module) -> AbstractContextManager[object]:
        """Return a context manager in which gradients accumulate without synchronization."""
        return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes."""
        if self.count > 1:
            values = values.to(self.device)
            distributed.all_reduce(values)
        return values

    def share_buffers(self, model: nn.Module) -> None:
        """Copy the buffers (running statistics) of the first process to the others."""
        if self.count > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def run_in_first(self, work: Callable[[], T]) -> T | None:
        """Run a function in the first process; if it fails, all processes fail (see `run_in_all`)."""
        return self.run_in_all(lambda: work() if self.is_first else None)

    def run_in_all(self, work: Callable[[], T]) -> T:
        """Run a function in every process. If it fails in some processes, all processes raise an error.

        Raises:
            SaevitError: the failed process of the lowest rank raises its own error (as OwnProcessError if its
                rank is not 0), and all other processes raise OtherProcessError.
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
    """Tell from the launcher's environment variables whether this is the first or the only process."""
    return variables.get(COUNT, "1") in ("", "1") or variables.get("RANK", "0") in ("", "0")


def count_processes(variables: Mapping[str, str] = os.environ) -> int:
    """Return the number of processes that a launcher started; 1 without a launcher.

    Raises:
        OwnProcessError: the launcher's variables are incomplete or invalid, for example left over in a shell.
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
    """Read an environment variable of a launcher as a whole number from `least` to `most`."""
    text = variables.get(name, "")
    with contextlib.suppress(ValueError):
        if least <= (value := read_whole(text)) <= most:
            return value
    raise variable_error(name, text, f"a whole number from {least} to {most}")


def variable_error(name: str, text: str, rule: str) -> OwnProcessError:
    """Return the error for an environment variable that is missing or invalid; `rule` is its valid form."""
    problem = f"is {abbreviated(text)!r}" if text else "is not set"
    return OwnProcessError(
        f"{name} {problem} and {COUNT} is {abbreviated(os.environ.get(COUNT, ''))}: {rule}, as torchrun sets "
        f"it; to train in one process, unset {COUNT}"
    )


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Connect to the other processes if a launcher started several, and disconnect at the end.

    Args:
        device: the option --device; each of several processes gets its own accelerator.

    Raises:
        MissingPackageError: there are several processes, and accelerate is not installed.
        OptionError: the device does not exist, or has a number although there are several processes.
        OwnProcessError: the other processes cannot be reached.
    """
    count = count_processes()
    if count == 1:
        yield Processes(device=torch.device(resolve_device(device)))
        return
    if ":" in device:
        raise OptionError(f"--device {device}: each process has its own device, leave out the number")
    state = connect(count, on_cpu=device == "cpu" or not torch.accelerator.is_available())
    try:
        own = torch.device("cpu") if state.device.type == "cpu" else state.device
        processes = Processes(device=own, rank=state.process_index, count=state.num_processes)
        processes.run_in_all(lambda: resolve_device(device))
        yield processes
    finally:
        state.destroy_process_group()


def connect(count: int, *, on_cpu: bool) -> Any:
    """Connect all processes, and return accelerate's PartialState of this process."""
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    make_state = need("accelerate", "train").PartialState
    rendezvous_done: Future[Any] = Future()

    def meet() -> None:
        try:
            rendezvous_done.set_result(next(rendezvous("env://", timeout=timedelta(seconds=CONNECT_TIMEOUT))))
        except Exception as error:
            rendezvous_done.set_exception(error)

    # rendezvous ignores Ctrl-C, so it runs in a thread, and this thread waits for the result.
    Thread(target=meet, daemon=True).start()
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
