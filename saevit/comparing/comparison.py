"""A comparison as data: models with their costs and times, and accuracies, published or measured here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import saevit
from saevit.baselines.adapters import read_library_model
from saevit.errors import OptionError, SaevitError, nearest
from saevit.files import ICONS, expand, file_type, name_source
from saevit.notebook import NotebookResult
from saevit.runs.evaluation import SPLITS
from saevit.runs.record import Dtype, Record
from saevit.runs.run import MeasuredTop1, Run, Subject
from saevit.runs.statistics import Ratio, median, ratio
from saevit.text import printable
from saevit.variant import PRESETS, parse

OURS = "SAEViT"  # the family of the variants


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """A top-1: published for ImageNet-1k, never for a network that was built here; or measured here."""

    top1: float  # per cent
    img_size: int | None  # evaluated at, pixels
    mark: str  # published or paper claim, distilled, extra data; measured here
    claim: bool = False  # of SAEViT's paper, whose network is not available
    source: str
    plain: bool  # neither distilled, nor from extra data, nor of another size than the costs beside it
    measured_on: str | None = None  # data and split, if `saevit eval` measured it here
    interval: tuple[float, float] | None = None  # Wilson's at 95 %, per cent
    images: int | None = None  # evaluated


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model: its costs for one image, its timing, its accuracy; or the reason why they are missing."""

    model: str
    family: str | None = None
    params: int | None = None
    macs: int | None = None
    counted_by: str | None = None  # the source of params and macs
    published_only: bool = False  # params and macs too: there is no network of it to build
    activations: int | None = None
    peak_bytes: int | None = None
    subject: Subject | None = None  # its timing
    accuracy: Accuracy | None = None
    same_as: str | None = None  # the model with the same network, built and timed once for both
    failure: str | None = None

    @property
    def network(self) -> str:
        """The model that was built and timed for it."""
        return self.same_as or self.model

    @property
    def is_variant(self) -> bool:
        """Is it a SAEViT variant, for which no accuracy is published?"""
        return self.family == OURS and not self.published_only

    @property
    def has_network(self) -> bool:
        """Is its network built and counted for this row?"""
        return not self.same_as and not self.published_only

    @property
    def samples(self) -> tuple[float, ...]:
        """Seconds per batch, one value a round; empty if it was not timed."""
        return self.subject.samples if self.subject else ()

    @property
    def seconds_per_image(self) -> tuple[float, ...]:
        """Samples divided by the batch size, because batches may differ if memory ran out."""
        return self.subject.seconds_per_image if self.subject else ()

    @property
    def seconds(self) -> float | None:
        """Median time of one image, as part of its batch."""
        return median(self.seconds_per_image) if self.samples else None

    @property
    def reason(self) -> str | None:
        """The reason why figures are missing."""
        return self.failure or (self.subject.failure if self.subject else None)


@dataclass(frozen=True, kw_only=True)
class Comparison(NotebookResult):
    """Several models with their costs, accuracies and the times of one run."""

    candidates: tuple[Candidate, ...]
    reference: str
    img_size: tuple[int, int]
    dtype: Dtype
    run: Run | None
    top1_on: str | None = None  # data on which all accuracies were measured here; None: published ones
    top1_left_out: str | None = None  # which evaluations do not count, and why
    also_measured: tuple[str, ...] = ()  # data of further evaluations, and the option that shows them

    @property
    def failed(self) -> bool:
        """Did any model fail?"""
        return any(candidate.reason for candidate in self.candidates)

    def ratio(self, candidate: Candidate) -> Ratio | None:
        """Time per image relative to the reference, round by round; None if either has no time."""
        base = next((c for c in self.candidates if c.model == self.reference), None)
        if base is None or not base.samples or not candidate.samples or candidate.network == base.network:
            return None
        return ratio(candidate.seconds_per_image, base.seconds_per_image)


MARK, OTHER_IMAGES = "measured here", "measured here, other images"


@dataclass(frozen=True, kw_only=True)
class MeasuredOn:
    """The newest top-1 of each network on one split of one dataset."""

    data: str
    split: str
    newest: tuple[MeasuredTop1, ...]  # one per network, the newest of all last
    left_out: tuple[str, ...] = ()  # variants that were evaluated with another definition of their network

    @classmethod
    def select(
        cls,
        found: Sequence[MeasuredTop1],
        data: str,
        split: str,
        definition: int,
        terms: str | None = None,
    ) -> Self:
        """Select the evaluations of one split of one dataset from all evaluations in the order of their time.

        Variants that were evaluated with another definition of their network are left out. With `terms`, the
        digest of a recipe, only evaluations of complete trainings by that recipe count.
        """
        newest: dict[str, MeasuredTop1] = {}
        here = [one for one in found if (one.data, one.split) == (data, split)]
        for one in [one for one in here if terms is None or one.terms == terms]:
            if one.model.partition(":")[0] not in PRESETS or one.definition == definition:
                newest.pop(one.model, None)
                newest[one.model] = one
        left_out = dict.fromkeys(one.model for one in here if one.model not in newest and terms is None)
        return cls(data=data, split=split, newest=tuple(newest.values()), left_out=tuple(left_out))

    @property
    def name(self) -> str:
        """The data in a few words."""
        is_path = Path(self.data).is_absolute() or self.data.startswith(ICONS)
        return f"{name_source(self.data) if is_path else self.data} ({self.split})"

    @property
    def left_out_note(self) -> str | None:
        """Which evaluations are left out, and why."""
        if not self.left_out:
            return None
        return (
            f"evaluations of {', '.join(self.left_out)} on {self.name} are left out: they were made with "
            "another version of saevit, in which a variant of that name was another network"
        )

    def find(self, model: str) -> MeasuredTop1 | None:
        """Return the newest top-1 of a model: of exactly its text, or of its network with other classes."""
        same = [one for one in self.newest if one.model == model]
        same = same or [one for one in self.newest if network_key(one.model) == network_key(model)]
        return same[-1] if same else None

    def replace_accuracy(self, candidate: Candidate, img_size: tuple[int, int]) -> Candidate:
        """Return a model with its measured accuracy, or without accuracy; the published one is dropped."""
        found = self.find(candidate.model)
        return replace(candidate, accuracy=None if found is None else self._accuracy(found, img_size))

    def _accuracy(self, found: MeasuredTop1, img_size: tuple[int, int]) -> Accuracy:
        share, size = found.share, found.img_size
        other = describe_other_images(found, self.newest[-1])
        low, high = (100 * end for end in share.interval)
        return Accuracy(
            top1=100 * share.value,
            img_size=size[0] if size[0] == size[1] else None,
            mark=OTHER_IMAGES if other else MARK,
            source=f"saevit eval {found.record.time}: {found.model}, weights of {found.checkpoint} "
            f"(SHA-256 {found.sha256[:12]}), {found.data} ({found.split}){other}",
            plain=not other and size == img_size,
            measured_on=self.name,
            interval=(low, high),
            images=share.total,
        )

    def records(self, models: Iterable[str]) -> list[Record]:
        """Return the records that the accuracies of these models are from."""
        found = [self.find(model) for model in models]
        return list({one.model: one.record for one in found if one}.values())


def describe_other_images(found: MeasuredTop1, newest: MeasuredTop1) -> str:
    """Describe how the data of an evaluation differ from the data of the newest one; "" if they do not."""
    ours, theirs = (one.fingerprint[:12] or "none" for one in (found, newest))
    counts = [one.share.total + one.unreadable for one in (found, newest)]
    if found.fingerprint == newest.fingerprint and counts[0] == counts[1]:
        return ""
    of = f"not the data of {newest.model}, evaluated {newest.record.time}"
    return f"; {of}: fingerprint {ours} and {theirs}, {counts[0]:,} and {counts[1]:,} images"


def network_key(model: str) -> str:
    """Return a text that is equal for models that differ only in their classes or weights."""
    if model.partition(":")[0] in PRESETS:
        try:
            return str(replace(parse(model), num_classes=1, drop_path_rate=0.0))
        except SaevitError:
            return model
    library = read_library_model(model)
    return (library.name if library else model).partition(".")[0]


def choose_accuracies(
    text: str, found: Sequence[MeasuredTop1], definition: int = saevit.NETWORK, terms: str | None = None
) -> MeasuredOn:
    """Select from all evaluations those on `SOURCE`, or on `SOURCE@SPLIT`; the default split is validation.

    With `terms`, the digest of a recipe, only evaluations of complete trainings by that recipe count.

    Raises:
        OptionError: there are none; the message names the data that have evaluations.
    """
    source, at, split = text.rpartition("@")
    if not at or split not in SPLITS:
        source, split = text, SPLITS[0]
    data = source
    if source == ICONS[:-1]:
        data = next((one.data for one in reversed(found) if one.data.startswith(ICONS)), source)
    elif all(source != one.data for one in found):
        prefix = ICONS if source.startswith(ICONS) else ""
        path = expand(source.removeprefix(prefix))
        if file_type(path) == "folder" or (prefix and file_type(path) == "file"):
            data = prefix + printable(str(path.resolve()))  # the form of the path in records
    on = MeasuredOn.select(found, data, split, definition, terms)
    if not on.newest and on.left_out:
        raise OptionError(f"--top1 {text}: {on.left_out_note}; run saevit eval again")
    if not on.newest:
        others = list(dict.fromkeys(_option_value(one.data, one.split) for one in found))
        ways = nearest(text, others) if others else "saevit eval measures it"
        raise OptionError(f"--top1 {text}: nothing was measured on {data} ({split}) here; {ways}")
    return on


def accuracies_of(run: Run) -> MeasuredOn | None:
    """Return the measured accuracies that a stored run was shown with; None: published ones."""
    if not run.top1s:
        return None
    newest = run.top1s[-1]
    return MeasuredOn.select(run.top1s, newest.data, newest.split, run.environment.network)


def add_hints(comparison: Comparison, found: Sequence[MeasuredTop1]) -> Comparison:
    """Add to a comparison of published accuracies the data on which its models were measured here too."""
    pairs = dict.fromkeys((one.data, one.split) for one in found)
    definition = comparison.run.environment.network if comparison.run else saevit.NETWORK
    hints = []
    for data, split in pairs:
        on = MeasuredOn.select(found, data, split, definition)
        if number := sum(on.find(c.model) is not None for c in comparison.candidates):
            hints.append(f"{on.name}, {number} of these models: --top1 {_option_value(data, split)}")
    return replace(comparison, also_measured=tuple(hints))


def _option_value(data: str, split: str) -> str:
    """Write data and split as --top1 takes them."""
    return data if split == SPLITS[0] else f"{data}@{split}"
