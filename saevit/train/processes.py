"""Several processes that train one network, as torchrun and accelerate start them; one needs neither."""

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

COUNT = "WORLD_SIZE"  # the variable that says how many processes there are
MOST = 2**16
MEET = 120.0  # seconds after which processes that do not come are given up
T = TypeVar("T")


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

    def first_does(self, work: Callable[[], T]) -> T | None:
        """Let the first process work; where it fails, all stop, as in `all_do`."""
        return self.all_do(lambda: work() if self.is_first else None)

    def all_do(self, work: Callable[[], T]) -> T:
        """Let every process work; where one fails, all stop, and the first that failed tells why.

        Raises:
            SaevitError: what that one raised, Own if it is not the first process; Elsewhere in the others.
        """
        failure: SaevitError | None = None
        try:
            done = work()
        except SaevitError as error:
            failure = error
        failed = self.summed(
            torch.tensor([float(failure is not None and i == self.rank) for i in range(self.count)])
        )
        if not failed.any():
            return done
        if failure is None or self.rank != int(failed.argmax()):
            raise Elsewhere("another process stopped")
        raise failure if self.is_first else Own(str(failure)) from failure


class Elsewhere(SaevitError):  # noqa: N818 - says where the reason is
    """The reason is told by another process."""


class Own(SaevitError):  # noqa: N818 - says whose it is
    """What other processes need not meet, so that this one tells it, whichever it is."""


def is_first_of(variables: Mapping[str, str] = os.environ) -> bool:
    """Is this the process that speaks, by what its launcher says? One alone is, whatever RANK says."""
    return variables.get(COUNT, "1") in ("", "1") or variables.get("RANK", "0") in ("", "0")


def launched(variables: Mapping[str, str] = os.environ) -> int:
    """Return how many processes a launcher started; 1: none.

    Raises:
        Own: the variables that launchers set are incomplete or cannot be, as they may be left over.
    """
    count = variable(variables, COUNT, 1, MOST) if variables.get(COUNT) else 1
    if count > 1:
        variable(variables, "RANK", 0, count - 1)
        variable(variables, "LOCAL_RANK", 0, count - 1)
        variable(variables, "MASTER_PORT", 1, 2**16 - 1)
        if not variables.get("MASTER_ADDR"):
            raise left_over("MASTER_ADDR", "", "the address of the first process")
    return count


def variable(variables: Mapping[str, str], name: str, least: int, most: int) -> int:
    """Read a whole number that a launcher set."""
    text = variables.get(name, "")
    with contextlib.suppress(ValueError):
        if least <= (number := read_whole(text)) <= most:
            return number
    raise left_over(name, text, f"a whole number from {least} to {most}")


def left_over(name: str, text: str, rule: str) -> Own:
    """Return the error for a variable that no launcher set so."""
    how = f"is {abbreviated(text)!r}" if text else "is not set"
    return Own(
        f"{name} {how} and {COUNT} is {abbreviated(os.environ.get(COUNT, ''))}: {rule}, as torchrun sets it; "
        f"to train in one process, unset {COUNT}"
    )


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Meet the other processes, if a launcher started several, and part at the end.

    Args:
        device: as the user names it; several processes on accelerators get one each.

    Raises:
        MissingPackageError: there are several, and accelerate is not installed.
        OptionError: no such device, or one of its own for several processes.
        Own: the others cannot be met.
    """
    count = launched()
    if count == 1:
        yield Processes(device=torch.device(resolve_device(device)))
        return
    if ":" in device:
        raise OptionError(f"--device {device}: several processes take a device each, leave out the number")
    state = met(count, on_cpu=device == "cpu" or not torch.accelerator.is_available())
    try:
        found = torch.device("cpu") if state.device.type == "cpu" else state.device
        processes = Processes(device=found, rank=state.process_index, count=state.num_processes)
        processes.all_do(lambda: resolve_device(device))
        yield processes
    finally:
        state.destroy_process_group()


def met(count: int, *, on_cpu: bool) -> Any:
    """Return accelerate's state of this process when all of them are there."""
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    make = need("accelerate", "train").PartialState
    try:
        store, rank, _ = patiently(lambda: next(rendezvous("env://", timeout=timedelta(seconds=MEET))))
        store.set_timeout(distributed.default_pg_timeout)
        return make(cpu=on_cpu, store=store, rank=rank, world_size=count)
    except Exception as error:  # of sockets, names and backends
        reason = printable(str(error).partition("\n")[0])
        raise Own(
            f"{count} processes ({COUNT}) do not meet at {printable(where)} (MASTER_ADDR, MASTER_PORT): "
            f"{reason}; to train in one process, unset {COUNT}"
        ) from error


def patiently(work: Callable[[], T]) -> T:
    """Wait in a thread for what does not notice Ctrl-C."""
    found: Future[T] = Future()

    def wait() -> None:
        try:
            found.set_result(work())
        except Exception as error:
            found.set_exception(error)

    Thread(target=wait, daemon=True).start()
    return found.result()
