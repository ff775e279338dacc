"""Load batches of transformed images in a given order; the batches do not depend on the number of workers."""

import contextlib
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saevit.errors import SaevitError
from saevit.images import UnreadableImage
from saevit.text import printable
from saevit.train.batches import use_seed
from saevit.train.image_data import ImageData
from saevit.train.transforms import Transform

Sample = tuple[Tensor, int] | UnreadableImage
Batch = tuple[Tensor, Tensor, tuple[UnreadableImage, ...]]  # x (B, C, H, W), labels (B,), unreadable images
POLL = 0.2  # seconds between two checks for a request to stop
HANG = 600.0  # seconds without a batch after which the workers are killed


class WorkersFailed(SaevitError):  # noqa: N818 - says what happened
    """A worker process that reads images died, hangs, or has too little shared memory."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a worker process that reads images failed ({printable(reason)}): free memory, increase the "
            "shared memory (/dev/shm; --shm-size of a container), or use --workers 0"
        )


@dataclass(frozen=True)
class EvalImages(Dataset[Sample]):
    """A dataset of transformed images by index; for an unreadable image it returns the error."""

    data: ImageData
    transform: Transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        try:
            image, label = self.data[index]
            return self.transform(image), label
        except UnreadableImage as error:
            return error
        except Exception as error:  # Pillow's operations raise errors of any type
            return UnreadableImage(f"{self.data.name}, image {index}", f"cannot be transformed: {error!r}")


@dataclass(frozen=True)
class TrainImages(Dataset[Sample]):
    """A dataset of augmented images by (epoch, index). The augmentation depends on seed, epoch and index."""

    data: ImageData
    transform: Transform
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        with use_seed(self.seed, "image", epoch, index):
            return EvalImages(self.data, self.transform)[index]


def collate(samples: Sequence[Sample]) -> Batch:
    """Return readable images x (B, C, H, W), their labels (B,) as int64, and the unreadable images.

    If no image can be read, x has the shape (0,).
    """
    readable = [sample for sample in samples if not isinstance(sample, UnreadableImage)]
    unreadable = tuple(sample for sample in samples if isinstance(sample, UnreadableImage))
    x = torch.stack([image for image, _ in readable]) if readable else torch.empty(0)
    return x, torch.tensor([label for _, label in readable], dtype=torch.int64), unreadable


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Loads batches of a dataset in the order of each call, with persistent worker processes."""

    plan: list[list[Any]]  # the batch sampler of `loader`: the keys of the samples in each batch
    loader: DataLoader[Any]
    pin_memory: bool

    def batches(
        self, plan: Sequence[Sequence[Any]], is_stopped: Callable[[], bool] = lambda: False
    ) -> Generator[Batch, None, None]:
        """Yield one batch for each list of keys.

        The generator ends early if `is_stopped` returns True during a wait. The workers are then killed, and
        the loader cannot be used again.

        Raises:
            WorkersFailed: a worker died or does not respond.
        """
        self.plan[:] = [list(keys) for keys in plan]
        if not self.loader.num_workers:
            yield from self.loader
            return
        queue: Queue[Batch | Exception] = Queue(maxsize=1)
        closed = Event()
        # Another thread waits for the workers, so that this thread reacts to Ctrl-C even if they hang.
        thread = Thread(target=self.fill_queue, args=(queue, closed), daemon=True)
        thread.start()
        left = len(plan)
        try:
            while left and (batch := next_batch(queue, is_stopped)):
                if isinstance(batch, Exception):
                    reason = str(batch).strip().rpartition("\n")[2]  # the last line of a worker's traceback
                    raise WorkersFailed(self.describe_exit() or reason or type(batch).__name__) from batch
                left -= 1
                yield batch
        finally:
            closed.set()
            if left:
                for worker in self.workers:  # including stopped and hanging ones
                    worker.kill()
                    worker.join()
                # Delete the iterator now: the garbage collector could close its queues too early.
                self.loader._iterator = None
            else:
                thread.join()

    @property
    def workers(self) -> Sequence[Any]:
        """Return the worker processes; empty before they are started."""
        return getattr(self.loader._iterator, "_workers", ())

    def describe_exit(self) -> str:
        """Describe how a worker ended; wait up to a second for that. Empty if all workers are alive."""
        ended = connection.wait([worker.sentinel for worker in self.workers], timeout=1)
        for worker in self.workers:
            if worker.sentinel in ended:
                worker.join()
                return f"it ended with exit code {worker.exitcode}"
        return ""

    def fill_queue(self, queue: "Queue[Batch | Exception]", closed: Event) -> None:
        """Put every batch into the queue, or the error of the loader, until `closed` is set."""

        def put(item: Batch | Exception) -> None:
            while not closed.is_set():
                with contextlib.suppress(Full):
                    queue.put(item, timeout=POLL)
                    return

        try:
            for data in self.loader:
                x, labels, unreadable = pickle.loads(data)
                put((x.pin_memory() if self.pin_memory else x, labels, unreadable))
                if closed.is_set():
                    break
        except Exception as error:  # from torch, the system or a worker
            traceback.clear_frames(error.__traceback__)  # else a reference cycle keeps the iterator alive
            put(error)


def make_loader(data: Dataset[Sample], *, workers: int, device: torch.device) -> Loader:
    """Return a loader with a number of worker processes; with 0 workers, this process reads the images."""
    plan: list[list[Any]] = []
    pin = device.type == "cuda"
    loader = DataLoader(
        data,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=collate_to_bytes if workers else collate,
        pin_memory=pin and not workers,
        persistent_workers=workers > 0,
        worker_init_fn=ignore_interrupts if workers else None,
    )
    return Loader(plan=plan, loader=loader, pin_memory=pin)


def ignore_interrupts(worker: int) -> None:
    """Ignore Ctrl-C in a worker; the training process ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def collate_to_bytes(samples: Sequence[Sample]) -> bytes:
    """Collate a batch and move it to shared memory in the worker, where an error can be reported."""
    return bytes(ForkingPickler.dumps(collate(samples)))


def next_batch(queue: "Queue[Batch | Exception]", is_stopped: Callable[[], bool]) -> Batch | Exception | None:
    """Wait for the next batch or error; return None after a request to stop."""
    for _ in range(round(HANG / POLL)):  # counted, because the time includes a suspension of the process
        with contextlib.suppress(Empty):
            return queue.get(timeout=POLL)
        if is_stopped():
            return None
    return TimeoutError(f"no batch within {HANG:.0f} s")
