"""Accuracy, calibration and speed of a trained network on labelled images, and their records. Only data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saevit.provenance import Training
from saevit.runs.record import Conditions, Environment, Record
from saevit.runs.run import EVALUATION, TOP1, MeasuredTop1, Run, Subject, pack_hits
from saevit.runs.statistics import BINS, Share, median
from saevit.runs.store import Tell, Writer, read_runs

SPLITS = ("validation", "train", "all")
NOT_INTERLEAVED = "of this one pass, batch by batch, not interleaved with another model"


@dataclass(frozen=True, kw_only=True)
class ClassResult:
    """One class that has images."""

    name: str
    share: Share


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One network on one split of data."""

    model: str
    checkpoint: str  # the file's name
    sha256: str  # of the file
    form: str  # in which the network ran
    data: str  # the source, a folder with its whole path
    fingerprint: str = ""  # of the data: SHA-256 of class names, relative file names, sizes; "": not known
    split: str
    statement: str  # what the data are and how they were split
    unreadable: tuple[str, ...]  # a line for each image that could not be read; they are not counted
    left_out: tuple[str, ...]  # a line for everything that was left out when the data were opened
    top1: Share
    top5: Share | None  # None: fewer than six classes
    loss: float  # mean cross-entropy, nat
    calibration_error: float  # expected, 0 to 1, over `bins` of equal width
    classes: tuple[ClassResult, ...]
    num_classes: int
    conditions: Conditions
    environment: Environment
    started: str  # ISO-8601, UTC
    workers: int  # processes that read images; 0: the process that ran the network
    alone: tuple[float, ...]  # images/s of the network in each full batch but the first
    with_reading: tuple[float, ...]  # the same, with reading and transforming
    bins: int = BINS
    training: Training | None = None  # None: not known
    hits: tuple[bool, ...] = ()  # of each image that was evaluated, in the order of the data; empty: not kept

    @property
    def images(self) -> int:
        """Number of images that were evaluated."""
        return self.top1.total

    @property
    def worst(self) -> tuple[ClassResult, ...]:
        """Classes by their accuracy, the lowest first."""
        return tuple(sorted(self.classes, key=lambda c: c.share.value))

    @property
    def throughput(self) -> float:
        """Median images/s of the network alone."""
        return median(self.alone)

    @property
    def throughput_with_reading(self) -> float:
        """Median images/s with reading."""
        return median(self.with_reading)


def records_of(found: Evaluation) -> list[Record]:
    """Return an evaluation as records; the notes of each have its data, split, weights and images."""
    common = (
        f"data={found.data}",
        *([f"fingerprint={found.fingerprint}"] if found.fingerprint else []),
        f"split={found.split}",
        f"classes={found.num_classes}",
        f"images={found.images}",
        f"unreadable={len(found.unreadable)}",
        f"checkpoint={found.checkpoint}",
        f"sha256={found.sha256}",
        found.form,
        *(found.training.to_notes() if found.training else ()),
    )

    def record(
        quantity: str,
        unit: str,
        found_value: float | tuple[float, ...],
        *notes: str,
        last: Sequence[str] = (),
    ) -> Record:
        return Record(
            subject=found.model,
            quantity=quantity,
            unit=unit,
            value=None if isinstance(found_value, tuple) else found_value,
            samples=found_value if isinstance(found_value, tuple) else (),
            source="measured",
            conditions=found.conditions,
            environment=found.environment,
            time=found.started,
            notes=(*notes, *common, *last),
        )

    def accuracy(quantity: str, share: Share, *more: str) -> Record:
        low, high = (100 * end for end in share.interval)
        notes = f"correct={share.hits}", f"interval=[{low:.2f}, {high:.2f}]", "95 % (Wilson)"
        return record(quantity, "%", 100 * share.value, *notes, last=more)

    bins = f"expected, {found.bins} bins of equal width"
    workers = f"workers={found.workers}"
    return [
        accuracy(TOP1, found.top1, *([f"hits={pack_hits(found.hits)}"] if found.hits else [])),
        *([accuracy("top5", found.top5)] if found.top5 else []),
        record("calibration_error", "share", found.calibration_error, bins),
        record("loss", "nat", found.loss, "mean cross-entropy"),
        record("eval_throughput", "images/s", found.alone, NOT_INTERLEAVED),
        record("eval_throughput_with_reading", "images/s", found.with_reading, NOT_INTERLEAVED, workers),
    ]


def keep_evaluation(found: Evaluation, writer: Writer) -> None:
    """Store an evaluation as a run with one subject. Raises OptionError if the disk refuses."""
    subject = Subject(
        label=found.model, name=found.model, conditions=found.conditions, quantity=EVALUATION, unit="%"
    )
    writer.begin(
        Run(
            subjects=(subject,),
            environment=found.environment,
            started=found.started,
            seed=0,
            min_time=0.0,
            facts=tuple(records_of(found)),
        )
    )
    writer.end()


def list_top1s(folder: Path | None = None, on_skip: Tell = lambda line: None) -> list[MeasuredTop1]:
    """Return every top-1 in a folder of runs, the oldest first; skip files that cannot be read.

    Raises:
        OptionError: the folder is a file, or cannot be read.
    """
    return [one for run in read_runs(folder, on_skip) if run.is_evaluation for one in run.top1s]
