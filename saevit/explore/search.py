"""Answers a question: chunks on one or several processes, merged, and kept on disk if the user wants that."""

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import cache
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

from saevit.errors import OptionError
from saevit.explore.collector import LARGEST, Collector, Findings
from saevit.explore.costs import check_exact
from saevit.explore.dynamic import Programmer
from saevit.explore.journal import SearchError, open_journal
from saevit.explore.question import Search
from saevit.explore.sweep import RandomSample, Sweep, Work
from saevit.measure.progress import ENDING, hold_signals
from saevit.ray_cluster import connect_ray

ENGINES = ("local", "ray")
WORTH_A_PROCESS = 2**26  # variants, below which starting processes takes longer than the work

Chunk = tuple[int, Findings]  # its number, and what it holds
Chunks = Generator[Chunk, None, None]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a search found."""

    search: Search
    findings: Findings

    @property
    def is_counted(self) -> bool:
        """Tell whether every variant within the limits was counted and ranked, which `dp` does not do."""
        return self.search.method != "dp"

    @property
    def front(self) -> tuple[int, ...]:
        """Indices of the front, in the order of the first objective."""
        return tuple(index for index, _ in self.findings.front)

    @property
    def top(self) -> tuple[int, ...]:
        """Indices of the best, the best first."""
        return tuple(index for index, _ in self.findings.top)


def start_work(search: Search) -> Work:
    """Prepare the chunks of a search. Raises OptionError if the method cannot handle the space exactly."""
    check_exact(search.question.space, search.question.img_size)
    if search.method == "dp":
        return Programmer(search.question)
    if search.question.space.size >= LARGEST:
        size = search.question.space.size
        raise OptionError(f"{size:.3g} variants cannot be numbered in 63 bits: take --method dp")
    return RandomSample(search) if search.method == "sample" else Sweep(search.question)


def answer(
    search: Search,
    *,
    workers: int = 1,
    engine: str = "local",
    journal: Path | None = None,
    on_chunk: Callable[[int, int], None] = lambda done, total: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Answer:
    """Answer a question by its method.

    Args:
        workers: processes of the local engine.
        engine: local, or ray (a cluster that ray finds, or this machine).
        journal: a file for finished chunks; those that it holds are not searched again.
        on_chunk: called with the number of finished chunks and of all.
        warn: called with a line for the user where the journal is damaged.

    Raises:
        OptionError: as `start_work`, an unknown engine, a journal of another search or code, or in use.
        SearchError: a worker process was killed, the journal's disk is full.
    """
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r} is not known: choose from {', '.join(ENGINES)}")
    work, collector, done = start_work(search), Collector(search.question), set[int]()
    with nullcontext() if journal is None else open_journal(journal, search) as kept:
        for number, findings in kept.read() if kept else ():
            collector.add_findings(findings)
            done.add(number)
        if kept and kept.damaged:
            more = f" and {len(kept.damaged) - 1:,} more" * (len(kept.damaged) > 1)
            warn(f"{journal} is damaged in line {kept.damaged[0]}{more}: these chunks are searched again")
        on_chunk(len(done), work.chunks)
        left = (number for number in range(work.chunks) if number not in done)
        is_small = search.method != "dp" and search.question.space.size < WORTH_A_PROCESS
        if engine == "ray":
            chunks = on_ray(search, left)
        elif workers == 1 or work.chunks - len(done) < 2 or is_small:
            chunks = ((number, work.search_chunk(number)) for number in left)
        else:
            chunks = on_processes(search, left, workers)
        with closing(chunks):
            for count, (number, findings) in enumerate(chunks, start=len(done) + 1):
                if kept:
                    kept.add(number, findings)
                collector.add_findings(findings)
                on_chunk(count, work.chunks)
    return Answer(search=search, findings=collector.findings())


@cache
def cached_work(search: Search) -> Work:
    """Return the work of a search; a worker process prepares it once."""
    return start_work(search)


def search_chunk(search: Search, number: int) -> Chunk:
    """Search one chunk in a worker process."""
    return number, cached_work(search).search_chunk(number)


def prepare_process(search: Search) -> None:
    """Prepare a worker process, which ignores Ctrl-C and ends with the process that started it."""
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGINT})
    threading.Thread(target=leave_with_parent, daemon=True).start()
    cached_work(search)


def leave_with_parent() -> None:
    """End this process when the process that started it is gone; if that one was killed, it cannot say so."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def on_processes(search: Search, numbers: Iterable[int], workers: int) -> Chunks:
    """Search chunks on several processes; at most two per process are under way at a time."""
    # A fresh interpreter each: a fork would copy the threads' locks of the progress bar.
    spawn = get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=prepare_process, initargs=(search,))
    waiting: set[Future[Chunk]] = set()
    others = set(active_children())
    try:
        for number in numbers:
            waiting.add(submit(pool, search, number))
            if len(waiting) >= 2 * workers:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in finished)
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in finished)
    except BaseException as error:
        for worker in set(active_children()) - others:  # their results are not needed any more
            worker.kill()
        if isinstance(error, BrokenExecutor):
            raise SearchError(
                "a worker process was killed, as happens when memory is short: take fewer --jobs; with "
                "--resume FILE, the same command continues after the finished chunks"
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def submit(pool: ProcessPoolExecutor, search: Search, number: int) -> Future[Chunk]:
    """Give a chunk to a pool; if that starts a process, no signal interrupts the start or reaches it."""
    with hold_signals():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            return pool.submit(search_chunk, search, number)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def on_ray(search: Search, numbers: Iterable[int]) -> Chunks:
    """Search chunks on Ray, which repeats the chunks of a lost worker."""
    with connect_ray() as ray:
        shared = ray.put(search)
        remote = ray.remote(max_retries=-1)(search_chunk)
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
