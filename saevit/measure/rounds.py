"""Time all subjects of a run in the same rounds: each round times every subject once, in shuffled order.

A drift of the machine then affects all subjects alike and cancels in the per-round ratios.
"""

import functools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from saevit.errors import OptionError, SaevitError, first_line, name_and_line
from saevit.machine import is_out_of_memory
from saevit.measure.conditions import (
    example_input,
    pin_threads,
    place_network,
    precision_note,
    synchronizer,
)
from saevit.measure.environment import environment, load_average
from saevit.measure.progress import NextStep, Tell, hold_signals
from saevit.measure.runtimes import find_runtime
from saevit.measure.timer import time_call, time_passes, warm_up
from saevit.runs.record import Conditions, Record, utc_now
from saevit.runs.run import PASS, TWIN, Ending, Run, Subject
from saevit.runs.statistics import rounds_needed
from saevit.runs.store import Writer, keep

MOST_ROUNDS, MOST_SECONDS = 10**5, 3600
NO_ROUND = "interrupted before the first round was finished"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class TimedModel:
    """A model to time and the conditions to time it under."""

    name: str  # variant string or model id; may repeat under other conditions
    build: Callable[[], nn.Module]  # called once a run, even if several subjects share it
    conditions: Conditions
    channels: int = 3  # of the input


def measure(
    models: Sequence[TimedModel],
    *,
    rounds: int = 15,
    min_time: float = 0.1,
    passes: int = 0,
    seed: int = 0,
    on_progress: Tell = lambda progress: None,
    writer: Writer | None = None,
    facts: Sequence[Record] = (),
) -> Run:
    """Time all models in interleaved rounds.

    A model that cannot be built or run becomes a subject with `failure`, and the others finish. A model that
    runs out of memory is timed at half the batch, and a note names the size. The first model that works is
    timed twice a round, which gives the noise floor. Ctrl-C keeps the finished rounds.

    Args:
        models: with the reference first.
        rounds: samples per subject; fewer than `statistics.rounds_needed()` resolve no difference.
        min_time: seconds a sample lasts at least.
        passes: at least this many passes of each model are timed one by one, some after each of its samples;
            `Run.passes_of` returns them.
        on_progress: called before each step, never while the clock runs.
        writer: stores every round when it is finished; the run goes on without it if it fails.
        facts: records to keep with the run, such as counts.

    Raises:
        OptionError: no models, the same one twice, or rounds or min_time out of range.
    """
    _check_request(models, rounds, min_time)
    started, load = utc_now(), load_average()
    entries = _make_entries(models)
    run = Run(
        subjects=tuple(entry.subject for entry in entries),
        environment=environment(),
        started=started,
        seed=seed,
        min_time=min_time,
        load_before=load,
        facts=tuple(facts),
    )
    session = _Session(entries=entries, run=run, writer=writer, passes=-(-passes // rounds))
    try:
        for entry in entries:
            on_progress(NextStep(text=f"preparing {entry.subject.label}"))
            _prepare(entry, min_time)
        session.choose_subjects()
        while not session.time_rounds(rounds, on_progress):
            pass  # a subject that ran out of memory goes on with a smaller batch: all samples are taken anew
    except KeyboardInterrupt:
        return session.finish("interrupted")
    return session.finish("finished")


def schedule_rounds(names: Sequence[str], rounds: int, rng: random.Random) -> list[list[str]]:
    """Return the order of every round: each name once, each round shuffled anew."""
    return [rng.sample(names, len(names)) for _ in range(rounds)]


class _Sample(NamedTuple):
    """What one round times of a model."""

    seconds: float  # per batch
    passes: tuple[float, ...]  # seconds of single passes


@dataclass(kw_only=True)
class _Entry:
    """A model during a run."""

    subject: Subject  # without samples; its batch is halved when memory runs out
    batch_size: int  # asked for
    channels: int
    network: Callable[[Conditions], nn.Module]  # placed on the device
    sample: Callable[[int], _Sample] | None = None  # takes one sample; None: not prepared


@dataclass(kw_only=True)
class _Session:
    """The rounds of one run, and what was stored of them."""

    entries: list[_Entry]
    run: Run
    writer: Writer | None
    passes: int  # single passes a round
    plan: dict[str, _Entry] = field(default_factory=dict)  # by label in the rounds, the twin last
    rounds: list[dict[str, _Sample]] = field(default_factory=list)  # finished ones: samples by label

    def choose_subjects(self) -> None:
        """Plan every entry that works, and the first one twice for the noise floor."""
        self.plan = {entry.subject.label: entry for entry in self.entries if not entry.subject.failure}
        if self.plan:
            label, first = next(iter(self.plan.items()))
            self.plan[f"{label} (again)"] = first

    def time_rounds(self, rounds: int, tell: Tell) -> bool:
        """Time all rounds; False if memory ran out and the samples so far are of another batch size."""
        if not self.plan:
            return True
        self.rounds.clear()
        begun = replace(self.run, subjects=self._subjects())
        self.run = keep(self.writer, begun, lambda writer: writer.begin(begun))
        order = schedule_rounds(list(self.plan), rounds, random.Random(self.run.seed))
        done, start = 0, time.perf_counter()
        for number, labels in enumerate(order):
            samples: dict[str, _Sample] = {}
            for label in labels:
                entry = self.plan[label]
                left = (time.perf_counter() - start) / done * (rounds * len(labels) - done) if done else None
                done += 1
                if entry.subject.failure:
                    continue
                text = f"round {number + 1} of {rounds}, {label}"
                tell(NextStep(text=text, done=number / rounds, eta=left))
                passes = self.passes if label == entry.subject.label else 0  # the twin has none
                sample = _attempt(entry, functools.partial(_sample, passes=passes))
                if sample is not None:
                    samples[label] = sample
                elif not entry.subject.failure:
                    _prepare(entry, self.run.min_time)
                    return False
            self._add_round({k: v for k, v in samples.items() if not self.plan[k].subject.failure})
        return True

    def _add_round(self, samples: dict[str, _Sample]) -> None:
        if samples:
            seconds = {label: sample.seconds for label, sample in samples.items()}
            with hold_signals():  # the rounds in memory and in the file are the same
                number = len(self.rounds)
                self.rounds.append(samples)
                self.run = keep(self.writer, self.run, lambda writer: writer.add_round(number, seconds))

    def _subjects(self) -> tuple[Subject, ...]:
        twins = [
            replace(entry.subject, label=label, quantity=TWIN)
            for label, entry in self.plan.items()
            if label != entry.subject.label
        ]
        return (*(entry.subject for entry in self.entries), *twins)

    def finish(self, ending: Ending) -> Run:
        """Return the run with the samples and the single passes of its finished rounds."""
        subjects = tuple(map(self._with_samples, self._subjects()))
        run = replace(self.run, subjects=subjects, rounds=len(self.rounds), ending=ending)
        for fact in self._list_passes(run):
            run = keep(self.writer, run, functools.partial(Writer.add_record, record=fact))
            run = replace(run, facts=(*run.facts, fact))
        return run

    def _list_passes(self, run: Run) -> list[Record]:
        return [
            Record(
                subject=subject.name,
                quantity=PASS,
                unit="s",
                samples=tuple(chain.from_iterable(each[subject.label].passes for each in self.rounds)),
                source="measured",
                conditions=subject.conditions,
                environment=run.environment,
                time=run.started,
            )
            for subject in run.timed
            if subject.samples and self.passes
        ]

    def _with_samples(self, subject: Subject) -> Subject:
        if subject.failure or not self.rounds:
            return replace(subject, failure=subject.failure or NO_ROUND, notes=())
        return replace(subject, samples=tuple(each[subject.label].seconds for each in self.rounds))


def _check_request(models: Sequence[TimedModel], rounds: int, min_time: float) -> None:
    if not models:
        raise OptionError("no models: name at least one")
    for (name, conditions), count in Counter((m.name, m.conditions) for m in models).items():
        if count > 1:
            raise OptionError(
                f"{name!r} is given {count} times under the same conditions ({conditions}): give it once"
            )
    if not 1 <= rounds <= MOST_ROUNDS:
        raise OptionError(
            f"rounds {rounds}: a number from 1 to {MOST_ROUNDS:,}; "
            f"{rounds_needed()} or more resolve differences"
        )
    if not 0 < min_time <= MOST_SECONDS:
        raise OptionError(f"min_time {min_time}: seconds, above 0 and at most {MOST_SECONDS}, such as 0.1")


def _make_entries(models: Sequence[TimedModel]) -> list[_Entry]:
    """Give every model a unique label, and models with the same builder and placement the same weights."""
    labels = make_labels(models)

    @functools.cache
    def built(build: Callable[[], nn.Module]) -> nn.Module:
        return build()

    @functools.cache
    def placed(build: Callable[[], nn.Module], like: Conditions) -> nn.Module:
        return place_network(built(build), like)

    def network_of(build: Callable[[], nn.Module], conditions: Conditions) -> nn.Module:
        like = replace(conditions, img_size=(1, 1), batch_size=1, threads=1, runtime="eager")
        if like.dtype == "int8":  # quantised from the graph in fp32
            like = replace(like, dtype="fp32")
        return placed(build, like)  # the weights do not depend on the fields that are set to constants

    return [
        _Entry(
            subject=Subject(
                label=labels[model.name, model.conditions],
                name=model.name,
                conditions=model.conditions,
                calls_per_sample=0,
            ),
            batch_size=model.conditions.batch_size,
            channels=model.channels,
            network=functools.partial(network_of, model.build),
        )
        for model in models
    ]


def make_labels(models: Sequence[TimedModel]) -> dict[tuple[str, Conditions], str]:
    """Return the name of each model, with the conditions in which it differs from others of the same name."""
    parts = {(one.name, one.conditions): str(one.conditions).split(", ") for one in models}
    common: dict[str, set[str]] = {}
    for (name, _), texts in parts.items():
        common[name] = common.get(name, set(texts)) & set(texts)
    own = {key: [one for one in texts if one not in common[key[0]]] for key, texts in parts.items()}
    return {key: f"{key[0]} ({', '.join(texts)})" if texts else key[0] for key, texts in own.items()}


def _prepare(entry: _Entry, min_time: float) -> None:
    """Build, place and warm up, at a smaller batch while memory runs out; ends ready or with a failure."""
    warm = functools.partial(_warm, min_time=min_time)
    while entry.subject.failure is None and _attempt(entry, warm) is None:
        pass


def _warm(entry: _Entry, min_time: float) -> bool:
    conditions = entry.subject.conditions
    runtime = find_runtime(conditions.runtime)
    network = entry.network(conditions)
    example = example_input(conditions, entry.channels)
    start = time.perf_counter()
    synchronize = synchronizer(conditions.device)
    with pin_threads(conditions.threads), torch.inference_mode():
        call = runtime.prepare(network, example, conditions)
        warm = warm_up(call, synchronize, min_time)
    seconds = time.perf_counter() - start
    wanted, batch = entry.batch_size, conditions.batch_size
    notes = (
        f"out of memory at batch {wanted}: timed at batch {batch}" if batch < wanted else None,
        None if warm.steady else f"timings still drift after {seconds:.1f} s of warm-up",
        precision_note(conditions),
    )
    entry.subject = replace(
        entry.subject,
        calls_per_sample=warm.calls,
        warmup_s=seconds,
        notes=tuple(note for note in notes if note),
    )

    def sample(passes: int) -> _Sample:
        """Time the call, after an untimed one: the caches hold data of the previous subject."""
        with pin_threads(conditions.threads), torch.inference_mode():
            call()
            seconds = time_call(call, synchronize, min_time, warm.calls).seconds
            return _Sample(seconds, time_passes(call, synchronize, passes))

    entry.sample = sample
    return True


def _sample(entry: _Entry, passes: int) -> _Sample:
    assert entry.sample is not None  # prepared before the first round, and again after memory ran out
    return entry.sample(passes)


def _attempt(entry: _Entry, step: Callable[[_Entry], T]) -> T | None:
    """Return the step's result; if it fails, return None and cut the entry to half its batch or fail it."""
    try:
        return step(entry)
    except Exception as error:
        exhausted = is_out_of_memory(error)
        reason = first_line(error) if isinstance(error, SaevitError) else name_and_line(error)
    # Only after the except block are the traceback and the tensors that it held released.
    entry.sample = None
    conditions = entry.subject.conditions
    if torch.device(conditions.device).type != "cpu" and exhausted:
        torch.accelerator.empty_cache()
    if exhausted and conditions.batch_size > 1:
        smaller = replace(conditions, batch_size=conditions.batch_size // 2)
        entry.subject = replace(entry.subject, conditions=smaller)
    else:
        reason = "out of memory at batch 1" if exhausted else reason
        entry.subject = replace(entry.subject, failure=reason)
    return None
