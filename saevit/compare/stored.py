"""Between a comparison and its stored run: what goes in beside the samples, and the whole read back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from saevit.baselines import published
from saevit.baselines.adapters import map_same_networks
from saevit.compare.candidates import accuracy_of, family_of, of_training, published_only
from saevit.compare.comparison import Candidate, Comparison
from saevit.compare.measured import MeasuredOn, left_out_note
from saevit.errors import OptionError, nearest
from saevit.runs.evaluation import MeasuredTop1, tops_of
from saevit.runs.profile import Latency
from saevit.runs.record import COUNTS, Record, Source, utc_now
from saevit.runs.replay import timings_of
from saevit.runs.run import Header, StoredRun
from saevit.runs.store import Writer

TOP1, PERCENT = "top1", "%"


@dataclass(frozen=True)
class WithFacts:
    """A writer that follows the head of a run with what is known of its models."""

    writer: Writer
    facts: Sequence[Record]

    def begin(self, header: Header) -> None:
        """Begin the run; facts that were written stay when it begins anew."""
        first = self.writer.is_empty
        self.writer.begin(header)
        for fact in self.facts if first else ():
            self.writer.add_record(fact)

    def add_round(self, number: int, samples: Mapping[str, float]) -> None:
        """Keep a finished round."""
        self.writer.add_round(number, samples)


def facts(candidates: Iterable[Candidate]) -> list[Record]:
    """Return counts and published accuracies as records."""
    found = []
    for c in candidates:
        source: Source = "analytic" if c.counted_by == "analytic" else "counted"
        for name, unit in COUNTS.items():
            value = getattr(c, name)
            if value is not None and not c.published_only:
                found.append(fact(c, name, unit, value, source, c.counted_by or ""))
        if c.accuracy:
            a = c.accuracy
            found.append(fact(c, TOP1, PERCENT, a.top1, "published", f"{a.mark}, {a.source}"))
    return found


def fact(c: Candidate, quantity: str, unit: str, value: float, source: Source, note: str) -> Record:
    """Return one figure as a record."""
    return Record(
        subject=c.model,
        quantity=quantity,
        unit=unit,
        value=value,
        source=source,
        time=utc_now(),
        notes=(note,),
    )


def comparison_of(
    run: StoredRun,
    models: Sequence[str] = (),
    reference: str | None = None,
    measured: MeasuredOn | None = None,
) -> Comparison:
    """Return a stored run as the comparison that it was, with the accuracies that are published today.

    Args:
        run: of models under one configuration each, or of one model under several, which then stand apart.
        models: those to show; none is all.
        reference: what ratios are to; None is the run's own.
        measured: accuracies that were measured here, to show in place of the published ones.

    Raises:
        OptionError: a model or reference that the run does not have, or a run of `saevit eval`.
    """
    if run.is_evaluation:
        raise OptionError(
            f"run {run.path.stem} is an evaluation and has no times: saevit results show {run.path.stem}, "
            "or name a run of compare"
        )
    timings = timings_of(run)
    first = timings.latencies[0]
    size = first.conditions.img_size
    named = {subject.label: subject.name for subject in run.header.subjects}
    latencies = {latency.label: latency for latency in timings.latencies}
    known = [fact.subject for fact in run.facts if not MeasuredTop1.of(fact)]
    labels = dict.fromkeys([*known, *latencies, *run.failures])
    labels = {label: None for label in labels if label in latencies or label not in named.values()}
    for name in [*models, *([reference] if reference else [])]:
        if name not in labels:
            raise OptionError(f"{name!r} is not in the run {run.path.stem}: {nearest(name, labels)}")
    same = {label: label for label in labels} | {
        label: first
        for label, first in map_same_networks([*latencies, *labels]).items()
        if label not in latencies
    }
    rows = {
        label: of_label(run, label, named.get(label, label), latencies.get(label), size) for label in labels
    }
    candidates = tuple(
        shown(of_training(rows[same[label]], label, same, size), measured, size)
        for label in labels
        if not models or label in models or label == reference
    )
    return Comparison(
        candidates=candidates,
        reference=reference or (models[0] if models else first.label),
        img_size=size,
        dtype=first.conditions.dtype,
        timings=timings,
        top1_on=measured.name if measured else None,
        top1_left_out=left_out_note(measured) if measured and measured.left_out else None,
    )


def measured_then(run: StoredRun) -> MeasuredOn | None:
    """Return the accuracies measured here that a run was shown with; None: published ones."""
    found = tops_of(run.facts)
    if not found:
        return None
    return MeasuredOn.of(found, found[-1].data, found[-1].split, run.header.environment.network)


def shown(candidate: Candidate, measured: MeasuredOn | None, img_size: tuple[int, int]) -> Candidate:
    """Return a model with its measured accuracy in place of a published one, if such are shown."""
    return measured.on(candidate, img_size) if measured else candidate


def of_label(
    run: StoredRun, label: str, name: str, latency: Latency | None, img_size: tuple[int, int]
) -> Candidate:
    """Return what a run says of one model, and the published table of its name."""
    row = published.find(name)
    counts = {f.quantity: f for f in run.facts if f.subject == name and f.quantity in COUNTS}
    if row and latency is None and label not in run.failures:
        return published_only(row, img_size)
    one = Candidate(
        model=label,
        family=family_of(name),
        latency=latency,
        accuracy=accuracy_of(row, img_size) if row else None,
        failure=None if latency else run.failures.get(label),
    )
    figures: dict[str, Any] = {quantity: fact.value for quantity, fact in counts.items()}
    return replace(one, counted_by=next((note for f in counts.values() for note in f.notes), None), **figures)
