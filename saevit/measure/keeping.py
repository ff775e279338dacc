"""Finished rounds on their way out of a run, so that whatever ends it leaves them behind."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from saevit.errors import OptionError
from saevit.measure.entry import Entry, notes
from saevit.measure.environment import environment
from saevit.runs.run import Header, StoredSubject


class Keeper(Protocol):
    """What takes finished rounds, such as `results.store.Writer`."""

    def begin(self, header: Header) -> None:
        """Hear what the rounds to come measure; heard again, the rounds so far do not count."""

    def add_round(self, number: int, samples: Mapping[str, float]) -> None:
        """Take a finished round, seconds a batch by label."""


@dataclass(frozen=True)
class About:
    """What a stored run says of itself besides its subjects and its machine."""

    started: str
    seed: int
    min_time: float
    load_before: float | None


class Keeping:
    """Hands finished rounds to the keeper. One that fails, as a full disk does, is left alone and named."""

    def __init__(self, keeper: Keeper | None, entries: Sequence[Entry], about: About) -> None:
        self.keeper, self.entries, self.about = keeper, entries, about
        self.problem: str | None = None

    def begin(self, plan: Mapping[str, Entry]) -> None:
        """Tell what the rounds to come measure."""
        if self.keeper and plan and not self.problem:
            twins = [_stored(entry, label) for label, entry in plan.items() if label != entry.label]
            subjects = [*(_stored(entry, entry.label) for entry in self.entries), *twins]
            header = Header(subjects=tuple(subjects), environment=environment(), **vars(self.about))
            self._try(functools.partial(self.keeper.begin, header))

    def add_round(self, number: int, samples: Mapping[str, float]) -> None:
        """Hand over one finished round."""
        if self.keeper and samples and not self.problem:
            self._try(functools.partial(self.keeper.add_round, number, samples))

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OptionError as error:
            self.problem = str(error)


def _stored(entry: Entry, label: str) -> StoredSubject:
    return StoredSubject(
        label=label,
        name=entry.subject.name,
        conditions=entry.conditions,
        quantity="latency" if label == entry.label else "latency_again",
        calls_per_sample=entry.warm.calls,
        warmup_s=entry.warm.seconds,
        notes=notes(entry),
    )
