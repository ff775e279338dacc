"""A query to its answer: chunks on several processes, merged, and kept on disk where the user wants that."""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from saevit.errors import OptionError, need
from saevit.explore.chunks import Hints, Part, Sweeper, part_of
from saevit.explore.dynamic import Programmer
from saevit.explore.frontier import Front, Top
from saevit.explore.journal import SearchError, open_journal
from saevit.explore.query import Query
from saevit.measure.interrupts import ENDING, hold_signals

Method = Literal["exhaustive", "dp", "sample"]
Engine = Literal["local", "ray"]
ENGINES = ("local", "ray")
METHODS = ("auto", "exhaustive", "dp", "sample")
EXHAUSTIVE = 3 * 10**8  # variants up to which `auto` looks at each
WORTH_A_PROCESS = 2**26  # variants, below which starting processes takes longer than the work
DRAWN = 2**17  # variants in a chunk of a sample
LARGEST = 2**62  # places that int64 holds


@dataclass(frozen=True, kw_only=True)
class Job:
    """A query and how it is answered."""

    query: Query
    method: Method
    samples: int = 10**6  # of `sample`
    seed: int = 0


class Work(Protocol):
    """A job in pieces, each the same whoever does it and when."""

    chunks: int

    def do(self, number: int) -> Part:
        """Return what one piece holds."""


class Exhaustive:
    """Every variant."""

    def __init__(self, job: Job) -> None:
        self.sweeper = Sweeper(job.query)
        self.chunks = self.sweeper.layout.chunks

    def do(self, number: int) -> Part:
        """Sweep a chunk."""
        return self.sweeper.sweep(number)


class Sampled:
    """Variants drawn evenly, with replacement, by a seed."""

    def __init__(self, job: Job) -> None:
        self.job, self.evaluator = job, job.query.evaluator()
        self.chunks = -(-job.samples // DRAWN)

    def do(self, number: int) -> Part:
        """Draw and judge a chunk."""
        count = min(DRAWN, self.job.samples - number * DRAWN)
        generator = np.random.default_rng([self.job.seed, number])
        places = generator.integers(0, self.job.query.space.size, count, dtype=np.int64)
        return part_of(self.job.query, self.evaluator, number, places, Hints())


def work_of(job: Job) -> Work:
    """Return the work of a job.

    Raises:
        OptionError: sizes that are not exact here, or a method that cannot do it.
    """
    job.query.evaluator().check_exact()
    if job.method == "dp":
        return Programmer(job.query)
    if job.query.space.size >= LARGEST:
        raise OptionError(
            f"{job.query.space.size:.3g} variants have no place numbers in 63 bits: take --method dp"
        )
    return Sampled(job) if job.method == "sample" else Exhaustive(job)


def method_of(query: Query, method: str) -> Method:
    """Return the method that `auto` stands for: each variant where that takes seconds, else `dp`."""
    if method == "auto":
        return "exhaustive" if query.space.size <= EXHAUSTIVE else "dp"
    if method not in METHODS:
        raise OptionError(f"method {method!r} is not known: choose from {', '.join(METHODS)}")
    return method  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a job found. Places are those of the space."""

    job: Job
    seen: int
    invalid: int
    falling: int
    kept: int | None  # None: the method does not count
    excluded: tuple[int, ...]
    front: tuple[int, ...]  # in the order of the first objective
    top: tuple[int, ...]  # the best first
    nearest: tuple[float, int] | None


Tell = Callable[[int, int], None]  # chunks done, of how many
Parts = Generator[Part, None, None]


def answer(
    job: Job,
    *,
    workers: int = 1,
    engine: str = "local",
    journal: Path | None = None,
    on_chunk: Tell = lambda done, total: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Do a job.

    Args:
        job: what to do.
        workers: processes of the local engine.
        engine: local, or ray (a cluster that ray finds, or this machine).
        journal: a file that finished chunks are written to; where it exists, they are not done again.
        on_chunk: called when chunks are finished.
        warn: called with what is wrong and mended.

    Raises:
        OptionError: as `work_of`, an unknown engine, a journal of another job or code, or in use.
        SearchError: a worker process was killed, the journal's disk is full.
    """
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r} is not known: choose from {', '.join(ENGINES)}")
    work = work_of(job)
    merger = Merger(job)
    with open_journal(journal, job) as kept:
        done = set()
        for part in kept.parts() if kept else ():
            merger.add(part)
            done.add(part.number)
        if kept and kept.damaged:
            more = f" and {len(kept.damaged) - 1:,} more" * (len(kept.damaged) > 1)
            warn(f"{journal} is damaged in line {kept.damaged[0]}{more}: what stood there is done again")
        on_chunk(len(done), work.chunks)
        left = (number for number in range(work.chunks) if number not in done)
        small = job.method != "dp" and job.query.space.size < WORTH_A_PROCESS
        alone = workers == 1 or work.chunks - len(done) < 2 or small
        parts = (
            on_ray(job, left)
            if engine == "ray"
            else inline(work, left)
            if alone
            else on_processes(job, left, workers)
        )
        with closing(parts):
            for count, part in enumerate(parts, start=len(done) + 1):
                if kept:
                    kept.add(part)
                merger.add(part)
                on_chunk(count, work.chunks)
    return merger.answer()


class Merger:
    """Parts to an answer, in whatever order they come."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.front, self.top = Front(len(job.query.objectives)), Top(job.query.top)
        self.places: dict[int, int] = {}  # by number here; a place may be beyond int64
        self.seen = self.invalid = self.falling = self.kept = 0
        self.excluded = [0] * len(job.query.limits)
        self.nearest: tuple[float, int] | None = None

    def add(self, part: Part) -> None:
        """Add a part."""
        self.seen += part.seen
        self.invalid += part.invalid
        self.falling += part.falling
        self.kept += part.kept
        self.excluded = [a + b for a, b in zip(self.excluded, part.excluded, strict=True)]
        if part.nearest is not None:
            self.nearest = min(self.nearest or part.nearest, part.nearest)
        huge = self.job.query.space.size >= LARGEST
        if part.front:
            numbers = [self._number(place) if huge else place for place, _ in part.front]
            columns = list(np.array([losses for _, losses in part.front]).T)
            self.front.add(columns, np.array(numbers, dtype=np.int64))
        if part.top:
            self.top.add(np.array([loss for _, loss in part.top]), np.array([p for p, _ in part.top]))

    def _number(self, place: int) -> int:
        number = len(self.places)
        self.places[number] = place
        return number

    def answer(self) -> Answer:
        """Return the whole."""
        self.front.merge()
        self.top.merge()
        front = [self.places.get(n, n) for n in self.front.numbers.tolist()]
        exact = self.job.method != "dp"
        return Answer(
            job=self.job,
            seen=self.seen,
            invalid=self.invalid,
            falling=self.falling,
            kept=self.kept if exact else None,
            excluded=tuple(self.excluded),
            front=tuple(front),
            top=tuple(self.top.numbers.tolist()),
            nearest=None if self.kept else self.nearest,
        )


def inline(work: Work, numbers: Iterable[int]) -> Parts:
    """Do the chunks here, one after the other."""
    return (work.do(number) for number in numbers)


_WORK: Work  # of a worker process


def start(job: Job) -> None:
    """Prepare a worker process; an interrupt is for the process that started it."""
    global _WORK  # what a worker of a pool has instead of an object
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGINT})
    threading.Thread(target=leave_with_parent, daemon=True).start()
    _WORK = work_of(job)


def leave_with_parent() -> None:
    """End this worker when the process that started it is gone: killed, it cannot say so."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def do(number: int) -> Part:
    """Do one chunk in a worker process."""
    return _WORK.do(number)


def on_processes(job: Job, numbers: Iterable[int], workers: int) -> Parts:
    """Do the chunks on several processes; few are under way at a time, however many there are."""
    # A fresh interpreter each: a fork would copy the threads' locks of the progress bar.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=start, initargs=(job,))
    waiting: set[Future[Part]] = set()
    others = set(active_children())
    try:
        for number in numbers:
            waiting.add(handed_on(pool, number))
            if len(waiting) >= 2 * workers:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in finished)
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in finished)
    except BaseException as error:
        for worker in set(active_children()) - others:  # nobody waits for what they are doing
            worker.kill()
        if isinstance(error, BrokenExecutor):
            raise SearchError(
                "a worker process was killed, as happens where memory is short: take fewer --jobs; with "
                "--resume FILE, the same command goes on from the chunks that are finished"
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def handed_on(pool: ProcessPoolExecutor, number: int) -> Future[Part]:
    """Give a chunk to a pool; a process that this starts is started whole, and never hears of Ctrl-C."""
    with hold_signals():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            return pool.submit(do, number)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def on_ray(job: Job, numbers: Iterable[int]) -> Parts:
    """Do the chunks on Ray, which does those of a lost worker again."""
    ray = need("ray", "explore")
    started = not ray.is_initialized()
    if started:
        ray.init(logging_level="ERROR", include_dashboard=False)
    try:
        shared = ray.put(job)
        remote = ray.remote(max_retries=-1)(do_anywhere)
        most = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting: list[object] = []
        for number in numbers:
            waiting.append(remote.remote(shared, number))
            if len(waiting) >= most:
                finished, waiting = ray.wait(waiting)
                yield from ray.get(finished)
        while waiting:
            finished, waiting = ray.wait(waiting)
            yield from ray.get(finished)
    finally:
        if started:
            ray.shutdown()


_JOB: tuple[Job, Work] | None = None


def do_anywhere(job: Job, number: int) -> Part:
    """Do one chunk on a worker that may have done one of this job before."""
    global _JOB  # as above
    if _JOB is None or _JOB[0] != job:
        _JOB = (job, work_of(job))
    return _JOB[1].do(number)
