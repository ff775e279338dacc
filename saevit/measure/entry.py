"""A subject on its way through a run: built once, placed, warmed up, sampled."""

import functools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import nn

from saevit.errors import SaevitError
from saevit.machine import is_out_of_memory
from saevit.measure import runtimes
from saevit.measure.timer import WarmUp, time_call, warm_up
from saevit.runs.record import Conditions

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model to measure and the conditions to measure it under."""

    name: str  # variant string or model id; may repeat under other conditions
    build: Callable[[], nn.Module]  # called once a run, however many subjects share it
    conditions: Conditions
    channels: int = 3  # of the input


@dataclass(kw_only=True)
class Entry:
    """A subject on its way through a run."""

    label: str
    subject: Subject
    conditions: Conditions  # the subject's, at half the batch once memory ran out
    model: Callable[[Conditions], nn.Module]  # its weights, placed
    ready: tuple[runtimes.Call, WarmUp] | None = None
    failure: str | None = None

    @property
    def warm(self) -> WarmUp:
        """How it was warmed up."""
        return self.ready[1] if self.ready else WarmUp(calls=0, seconds=0.0, steady=True)


def entries_of(subjects: Sequence[Subject]) -> list[Entry]:
    """Return the subjects under unique labels, with one set of weights a builder and placement."""
    names = Counter(subject.name for subject in subjects)

    @functools.cache
    def built(build: Callable[[], nn.Module]) -> nn.Module:
        return build()

    @functools.cache
    def placed(build: Callable[[], nn.Module], like: Conditions) -> nn.Module:
        return runtimes.place(built(build), like)

    def entry(subject: Subject) -> Entry:
        label = subject.name if names[subject.name] == 1 else f"{subject.name} ({subject.conditions})"
        return Entry(
            label=label,
            subject=subject,
            conditions=subject.conditions,
            model=lambda conditions: placed(subject.build, _placement(conditions)),
        )

    return [entry(subject) for subject in subjects]


def _placement(conditions: Conditions) -> Conditions:
    """Return the conditions with everything levelled that the weights do not depend on."""
    return replace(conditions, img_size=(1, 1), batch_size=1, threads=1, runtime="eager")


def prepare(entry: Entry, min_time: float) -> None:
    """Build, place and warm up, at a smaller batch while memory runs out; ends ready or with a failure."""
    while entry.failure is None and guarded(entry, functools.partial(_warm, entry, min_time)) is None:
        pass


def _warm(entry: Entry, min_time: float) -> bool:
    conditions = entry.conditions
    adapter = runtimes.runtime(conditions.runtime)
    model = entry.model(conditions)
    example = runtimes.example_input(conditions, entry.subject.channels)
    start = time.perf_counter()
    with runtimes.threads(conditions.threads), torch.inference_mode():
        call = adapter.prepare(model, example, conditions)
        warm = warm_up(call, runtimes.synchronizer(conditions.device), min_time)
    entry.ready = call, replace(warm, seconds=time.perf_counter() - start)
    return True


def sample(entry: Entry, min_time: float) -> float:
    """Return seconds a batch, after one untimed call: the caches hold the previous subject's data."""
    assert entry.ready is not None  # prepared before the first round, and again after running out of memory
    call, warm = entry.ready
    with runtimes.threads(entry.conditions.threads), torch.inference_mode():
        call()
        return time_call(call, runtimes.synchronizer(entry.conditions.device), min_time, warm.calls).seconds


def guarded(entry: Entry, step: Callable[[], T]) -> T | None:
    """Return the step's result; None if it failed, with the entry failed too or cut to half its batch."""
    try:
        return step()
    except Exception as error:
        exhausted, reason = is_out_of_memory(error), _reason(error)
    # Only here are the traceback and the tensors it held gone.
    entry.ready = None
    if torch.device(entry.conditions.device).type != "cpu" and exhausted:
        torch.accelerator.empty_cache()
    batch = entry.conditions.batch_size
    if exhausted and batch > 1:
        entry.conditions = replace(entry.conditions, batch_size=batch // 2)
    else:
        entry.failure = "out of memory at batch 1" if exhausted else reason
    return None


def _reason(error: Exception) -> str:
    text = runtimes.one_line(error)
    return text if isinstance(error, SaevitError) else f"{type(error).__name__}: {text}"


def notes(entry: Entry) -> tuple[str, ...]:
    """Return what a reader of its samples has to know."""
    wanted, batch, warm = entry.subject.conditions.batch_size, entry.conditions.batch_size, entry.warm
    found = (
        f"out of memory at batch {wanted}: measured at {batch}" if batch < wanted else None,
        None if warm.steady else f"not steady after {warm.seconds:.1f} s of warm-up",
        runtimes.precision_note(entry.conditions),
    )
    return tuple(note for note in found if note)
