"""Batches of transformed images in a given order, the same for any number of workers."""

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
HANG = 600.0  # seconds without a batch after which workers are given up


class WorkersFailed(SaevitError):  # noqa: N818 - says what happened
    """Processes that read images died, hang, or have too little shared memory."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a worker process that reads images failed ({printable(reason)}): free memory, increase the "
            "shared memory (/dev/shm; --shm-size of a container), or use --workers 0"
        )


@dataclass(frozen=True)
class EvalImages(Dataset[Sample]):
    """Transformed images by index; an unreadable image is returned as its error."""

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
    """Augmented images by (epoch, index); the augmentation depends on these and the seed only."""

    data: ImageData
    transform: Transform
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        with use_seed(self.seed, "image", epoch, index):
            return EvalImages(self.data, self.transform)[index]


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack the readable samples: x (B, C, H, W) and labels (B,) int64, beside the unreadable images.

    If no image could be read, x has the shape (0,).
    """
    readable = [sample for sample in samples if not isinstance(sample, UnreadableImage)]
    unreadable = tuple(sample for sample in samples if isinstance(sample, UnreadableImage))
    x = torch.stack([image for image, _ in readable]) if readable else torch.empty(0)
    return x, torch.tensor([label for _, label in readable], dtype=torch.int64), unreadable


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Batches of a dataset in an order that each call gives; the worker processes stay."""

    plan: list[list[Any]]  # the batch sampler of `loader`: the keys of each batch
    loader: DataLoader[Any]
    pin_memory: bool

    def batches(
        self, plan: Sequence[Sequence[Any]], is_stopped: Callable[[], bool] = lambda: False
    ) -> Generator[Batch, None, None]:
        """Yield one batch for each list of keys; end early if `is_stopped` returns True during a wait.

        After an early end the workers are killed, and the loader cannot be used again.

        Raises:
            WorkersFailed: a worker died or does not answer.
        """
        self.plan[:] = [list(keys) for keys in plan]
        if not self.loader.num_workers:
            yield from self.loader
            return
        queue: Queue[Batch | Exception] = Queue(maxsize=1)
        closed = Event()
        # A thread waits for the workers, so that this one reacts to Ctrl-C even if they hang.
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
                # End the iterator now: the garbage collector would close its queues before it ends.
                self.loader._iterator = None
            else:
                thread.join()

    @property
    def workers(self) -> Sequence[Any]:
        """Return the worker processes, if they were started."""
        return getattr(self.loader._iterator, "_workers", ())

    def describe_exit(self) -> str:
        """Describe how the first worker ended, waiting up to a second; empty if all are alive."""
        ended = connection.wait([worker.sentinel for worker in self.workers], timeout=1)
        for worker in self.workers:
            if worker.sentinel in ended:
                worker.join()
                return f"it ended with exit code {worker.exitcode}"
        return ""

    def fill_queue(self, queue: "Queue[Batch | Exception]", closed: Event) -> None:
        """Put every batch into the queue, or the error that ends them, until the queue is closed."""

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
            traceback.clear_frames(error.__traceback__)  # or a cycle of frames keeps the iterator
            put(error)


def make_loader(data: Dataset[Sample], *, workers: int, device: torch.device) -> Loader:
    """Return a loader with this many worker processes; with 0, this process reads the images."""
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
    """Leave Ctrl-C to the training process, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def collate_to_bytes(samples: Sequence[Sample]) -> bytes:
    """Collate and move a batch to shared memory in the worker, so that an error there is reported."""
    return bytes(ForkingPickler.dumps(collate(samples)))


def next_batch(queue: "Queue[Batch | Exception]", is_stopped: Callable[[], bool]) -> Batch | Exception | None:
    """Wait for the next batch or error; None if the training is asked to stop."""
    for _ in range(round(HANG / POLL)):  # counted, not timed: a suspended process may continue
        with contextlib.suppress(Empty):
            return queue.get(timeout=POLL)
        if is_stopped():
            return None
    return TimeoutError(f"no batch within {HANG:.0f} s")
