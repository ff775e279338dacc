"""From an epoch's plan to batches on their way to the network, the same for any number of workers."""

import contextlib
import pickle
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from saevit.checkpoint import About
from saevit.errors import SaevitError, need
from saevit.text import printable
from saevit.train.data import ImageData, Inputs, UnreadableImage, channel_mode, drop_unreadable
from saevit.train.randomness import seeded
from saevit.train.recipe import Recipe
from saevit.train.transform import converted

if TYPE_CHECKING:
    from PIL.Image import Image

Sample = tuple[Tensor, int] | UnreadableImage
Batch = tuple[Tensor, Tensor, tuple[UnreadableImage, ...]]  # x (B, C, H, W), labels (B,), what was dropped
Key = tuple[int, int]  # epoch, index
POLL = 0.2  # seconds between two looks at whether to stop
HANG = 600.0  # seconds without a batch after which workers are given up


class WorkersFailed(SaevitError):  # noqa: N818 - says what happened
    """Processes that read images died, hang, or have too little shared memory."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the processes that read images failed ({printable(reason)}): raise the shared memory "
            "(/dev/shm; of a container: --shm-size) or the memory, or use --workers 0"
        )


@dataclass(frozen=True, kw_only=True)
class Augmented(Dataset[Sample]):
    """Training images by (epoch, index): what is random about one follows from these and the seed."""

    data: ImageData
    transform: Callable[["Image"], Tensor]
    seed: int

    def __getitem__(self, key: Key) -> Sample:
        epoch, index = key
        with seeded(self.seed, "image", epoch, index):
            return Inputs(self.data, self.transform)[index]


def train_transform(about: About, recipe: Recipe) -> Callable[["Image"], Tensor]:
    """Return timm's training transform of the recipe: crop, mirror, RandAugment, normalise, erase."""
    inner = need("timm.data").create_transform(
        input_size=(about.in_chans, *about.img_size),
        is_training=True,
        scale=recipe.scale,
        ratio=recipe.ratio,
        hflip=recipe.hflip,
        color_jitter=recipe.color_jitter,
        auto_augment=recipe.aa or None,
        interpolation="bicubic",
        mean=about.mean,
        std=about.std,
        re_prob=recipe.reprob,
        re_mode="pixel",
    )
    keep_a_bit(inner)
    return partial(converted, channel_mode(about.in_chans), inner)


def keep_a_bit(inner: Any) -> None:
    """Let the strongest posterizing of RandAugment and its kind keep one bit.

    timm 1.0.31 asks for none where the drawn magnitude reaches 10, which Pillow 13 refuses.
    """
    for transform in inner.transforms:
        for operation in (*getattr(transform, "ops", ()), *chain(*getattr(transform, "policy", ()))):
            if operation.name.startswith("Posterize"):
                operation.aug_fn = posterized


def posterized(image: "Image", bits: int, **_: object) -> "Image":
    """Return the image with so many bits of each channel, one to eight."""
    found: Image = need("PIL.ImageOps").posterize(image, min(max(bits, 1), 8))
    return found


class Plan:
    """The batches that one loader gives next; the loader and its workers stay, the plan changes."""

    def __init__(self) -> None:
        self.batches: Sequence[Sequence[Any]] = ()

    def __iter__(self) -> Iterator[list[Any]]:
        return iter([list(batch) for batch in self.batches])

    def __len__(self) -> int:
        return len(self.batches)


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Batches of a dataset in an order that is given each time."""

    plan: Plan
    inner: DataLoader[Any]
    pin: bool  # for an accelerator

    def batches(
        self, plan: Sequence[Sequence[Any]], stopped: Callable[[], bool] = lambda: False
    ) -> Generator[Batch, None, None]:
        """Yield one batch for each list of keys; end early if `stopped` says so while one is awaited.

        After an early end the workers are gone, and the loader is of no more use.

        Raises:
            WorkersFailed: a worker died, or none answers.
        """
        self.plan.batches = plan
        if not self.inner.num_workers:
            yield from self.inner
            return
        ready: Queue[Batch | Exception] = Queue(maxsize=1)
        closed = Event()
        # A thread waits for the workers, so that whatever they do Ctrl-C is obeyed here.
        thread = Thread(target=receive, args=(self, ready, closed), daemon=True)
        thread.start()
        left = len(plan)
        try:
            while left and (found := awaited(ready, stopped)):
                if isinstance(found, Exception):
                    reason = str(found).strip().rpartition("\n")[2]  # behind a worker's traceback
                    raise WorkersFailed(self.ended() or reason or type(found).__name__) from found
                left -= 1
                yield found
        finally:
            closed.set()
            if left:
                self.end_workers()
            else:
                thread.join()

    @property
    def workers(self) -> Sequence[Any]:
        """The processes, once they are started."""
        return getattr(self.inner._iterator, "_workers", ())

    def ended(self) -> str:
        """Say how the first of the workers ended, which may take a moment; nothing: all live."""
        gone = connection.wait([worker.sentinel for worker in self.workers], timeout=1)
        for worker in self.workers:
            if worker.sentinel in gone:
                worker.join()
                return f"one ended with exit code {worker.exitcode}"
        return ""

    def end_workers(self) -> None:
        """End the workers, stopped and hanging ones too."""
        for worker in self.workers:
            worker.kill()
            worker.join()


def loader(data: Dataset[Sample], *, workers: int, device: torch.device) -> Loader:
    """Return a loader with this many worker processes; 0 reads in this one."""
    plan, pin = Plan(), device.type == "cuda"
    inner = DataLoader(
        data,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=pickled if workers else drop_unreadable,
        pin_memory=pin and not workers,
        persistent_workers=workers > 0,
        worker_init_fn=leave_interrupts if workers else None,
    )
    return Loader(plan=plan, inner=inner, pin=pin)


def leave_interrupts(worker: int) -> None:
    """Let Ctrl-C reach the process that trains, which ends its workers; each computes with one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def pickled(samples: Sequence[Sample]) -> bytes:
    """Collate in a worker and move the batch to shared memory: what fails here is told, later it is lost."""
    return bytes(ForkingPickler.dumps(drop_unreadable(samples)))


def receive(source: Loader, ready: "Queue[Batch | Exception]", closed: Event) -> None:
    """Put every batch into the queue as it comes, or why none came, until nobody takes them any more."""
    try:
        for data in source.inner:
            x, labels, dropped = pickle.loads(data)
            put(ready, (x.pin_memory() if source.pin else x, labels, dropped), closed)
            if closed.is_set():
                break
    except Exception as error:  # of torch, of the system, and whatever a worker raised
        put(ready, error, closed)


def put(ready: "Queue[Batch | Exception]", item: Batch | Exception, closed: Event) -> None:
    """Put an item into the queue as soon as there is room, unless it is closed."""
    while not closed.is_set():
        with contextlib.suppress(Full):
            ready.put(item, timeout=POLL)
            return


def awaited(ready: "Queue[Batch | Exception]", stopped: Callable[[], bool]) -> Batch | Exception | None:
    """Wait for the next batch, or for why there is none; None: it is to stop."""
    for _ in range(round(HANG / POLL)):  # turns, not the clock: a process that was suspended goes on
        with contextlib.suppress(Empty):
            return ready.get(timeout=POLL)
        if stopped():
            return None
    return TimeoutError(f"no batch came for {HANG:.0f} s")
