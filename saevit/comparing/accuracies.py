"""Select the stored evaluations that form the measured accuracy of each network on one dataset."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import saevit
from saevit.baselines.adapters import read_library_model
from saevit.comparing.comparison import Accuracy, Candidate, Comparison
from saevit.errors import OptionError, SaevitError, nearest
from saevit.files import ICONS, expand, file_type, name_source
from saevit.runs.accuracy_statistics import estimate_accuracy
from saevit.runs.evaluation import SPLITS
from saevit.runs.record import Record
from saevit.runs.run import MeasuredTop1, Run
from saevit.text import plural, printable
from saevit.variant import PRESETS, parse

MARK, OTHERWISE, OTHER_IMAGES = "measured here", "trained otherwise", "measured here, other images"


@dataclass(frozen=True, kw_only=True)
class SeedGroup:
    """Evaluations of one network on the same images, one per seed, whose mean is the accuracy."""

    evaluations: tuple[MeasuredTop1, ...]  # the newest last
    is_otherwise: bool = False  # trained by another or an unknown recipe than the newest evaluation
    other_rates: tuple[float, ...] = ()  # other learning rates that were trained, and are left out

    @property
    def newest(self) -> MeasuredTop1:
        """Return the newest evaluation."""
        return self.evaluations[-1]

    @property
    def top1(self) -> float:
        """Return the mean accuracy over seeds, in per cent."""
        return 100 * sum(one.share.value for one in self.evaluations) / len(self.evaluations)


def form_group(found: Sequence[MeasuredTop1], images: tuple[str, int]) -> SeedGroup:
    """Return the evaluations of one network that share learning rate, input size and images.

    If several groups exist, one on `images` (fingerprint, number) is preferred, then the one with the most
    seeds, then the most accurate one, because learning rates are tuned by accuracy. For each seed, the newest
    evaluation is used.
    """
    sets: dict[tuple[object, ...], dict[int, MeasuredTop1]] = {}
    for one in found:
        assert one.training is not None
        same = sets.setdefault((images_of(one), one.training.lr, one.img_size, bool(one.hits)), {})
        same.pop(one.training.seed, None)
        same[one.training.seed] = one
    groups = [SeedGroup(evaluations=tuple(same.values())) for same in sets.values()]
    best = max(groups, key=lambda g: (images_of(g.newest) == images, len(g.evaluations), g.top1))
    rates = {one.training.lr for one in found if one.training}
    rates -= {one.training.lr for one in best.evaluations if one.training}
    kept = best.evaluations if best.newest.hits else best.evaluations[-1:]
    return replace(best, evaluations=kept, other_rates=tuple(sorted(rates)))


def images_of(found: MeasuredTop1) -> tuple[str, int]:
    """Return the identity of the images of an evaluation: their fingerprint and their number."""
    return found.fingerprint, found.share.total + found.unreadable


@dataclass(frozen=True, kw_only=True)
class MeasuredOn:
    """The measured accuracy of each network on one split of one dataset."""

    data: str
    split: str
    groups: tuple[SeedGroup, ...]  # one per network; groups by the same recipe last, sorted by time
    left_out: tuple[str, ...] = ()  # variants whose network had another definition in the evaluation

    @classmethod
    def select(
        cls, found: Sequence[MeasuredTop1], data: str, split: str, definition: int, terms: str | None = None
    ) -> Self:
        """Select the evaluations on one split of one dataset.

        All complete trainings of a network by the chosen recipe form its accuracy. For other networks, the
        newest evaluation is used and marked with `is_otherwise`. Variants that were evaluated with another
        definition of their network are left out.

        Args:
            found: all evaluations, sorted by time.
            data: the source of the images, as in records.
            split: the split of the data.
            definition: version number of the definition of the variants.
            terms: the hash of the recipe; None is the recipe of the newest evaluation that has one.
        """
        here = [one for one in found if (one.data, one.split) == (data, split)]
        kept = [
            one for one in here if one.model.partition(":")[0] not in PRESETS or one.definition == definition
        ]
        chosen = [one for one in kept if one.terms and terms in (None, one.terms)][-1:]
        last = chosen or kept[-1:]
        equal: dict[str, list[MeasuredTop1]] = {}
        others: dict[str, MeasuredTop1] = {}
        for one in kept:
            if chosen and terms_of(one) == terms_of(chosen[0]):
                equal.setdefault(network_key(one.model), []).append(one)
            else:
                others.pop(one.model, None)
                others[one.model] = one
        is_otherwise = bool(chosen or terms)
        groups = [
            SeedGroup(evaluations=(one,), is_otherwise=is_otherwise)
            for one in others.values()
            if network_key(one.model) not in equal
        ]
        formed = [form_group(those, images_of(last[0])) for those in equal.values()]
        groups += sorted(formed, key=lambda group: kept.index(group.newest))
        left_out = {one.model: None for one in here if all(one.model != k.model for k in kept)}
        return cls(data=data, split=split, groups=tuple(groups), left_out=tuple(left_out))

    @property
    def newest(self) -> tuple[MeasuredTop1, ...]:
        """Return the newest evaluation of each network, in the order of `groups`."""
        return tuple(group.newest for group in self.groups)

    @property
    def num_classes(self) -> int | None:
        """Return the number of classes of the data; None if it is not known."""
        known = map(find_classes, reversed(self.newest))
        return next((count for count in known if count is not None), None)

    @property
    def img_size(self) -> tuple[int, int]:
        """Return the input size (H, W) of the newest evaluation."""
        return self.newest[-1].img_size

    @property
    def name(self) -> str:
        """Return the short name of the data with the split."""
        is_path = Path(self.data).is_absolute() or self.data.startswith(ICONS)
        return f"{name_source(self.data) if is_path else self.data} ({self.split})"

    @property
    def left_out_note(self) -> str | None:
        """Return the note on evaluations that are left out; None without them."""
        if not self.left_out:
            return None
        return (
            f"evaluations of {', '.join(self.left_out)} on {self.name} are left out: another version of "
            "saevit made them, in which these variants were other networks"
        )

    def find(self, model: str) -> SeedGroup | None:
        """Return the evaluations of a model, by its exact text or else by its network without classes."""
        same = [group for group in self.groups if group.newest.model == model]
        same = same or [g for g in self.groups if network_key(g.newest.model) == network_key(model)]
        return same[-1] if same else None

    def replace_accuracy(self, candidate: Candidate, img_size: tuple[int, int]) -> Candidate:
        """Return a model with its measured accuracy (or None) in place of the published accuracy."""
        found = self.find(candidate.model)
        return replace(candidate, accuracy=None if found is None else self._accuracy(found, img_size))

    def _accuracy(self, group: SeedGroup, img_size: tuple[int, int]) -> Accuracy:
        newest = group.newest
        size, training = newest.img_size, newest.training
        other = describe_other_images(newest, self.newest[-1])
        hits = tuple(one.hits for one in group.evaluations)
        low, high = newest.share.interval
        if len(hits) > 1:
            estimate = estimate_accuracy(hits)
            low, high = estimate.low, estimate.high
        mark = OTHERWISE if group.is_otherwise else OTHER_IMAGES if other else MARK
        return Accuracy(
            top1=group.top1,
            img_size=size[0] if size[0] == size[1] else None,
            mark=mark,
            source=describe_group(group, self.newest[-1]) + other,
            plain=mark == MARK and size == img_size,
            measured_on=self.name,
            interval=(100 * low, 100 * high),
            images=newest.share.total,
            seeds=len(hits) if training else None,
            terms=None if group.is_otherwise else newest.terms,
            epochs=training.epoch if training else None,
            trained_images=training.images if training else None,
            fingerprint=newest.fingerprint,
            num_classes=self.num_classes,
            unreadable=newest.unreadable,
            hits=hits if all(hits) else (),
        )

    def records(self, models: Iterable[str]) -> list[Record]:
        """Return the records of the accuracies of these models; the record of the newest evaluation is last.

        The newest evaluation defines the recipe and the images of the comparison.
        """
        wanted = {id(group) for model in models if (group := self.find(model))}
        chosen = [group for group in self.groups if id(group) in wanted or group is self.groups[-1]]
        return [one.record for group in chosen for one in group.evaluations]


def terms_of(found: MeasuredTop1) -> tuple[str | None, str | None]:
    """Return the hash of the recipe and the fingerprint of the training data."""
    return found.terms, found.training.fingerprint if found.training else None


def count_classes(model: str) -> int | None:
    """Return the number of classes of a model's text; None if the text is not a model."""
    try:
        library = read_library_model(model)
        return library.num_classes if library else parse(model).num_classes
    except SaevitError:
        return None


def find_classes(found: MeasuredTop1) -> int | None:
    """Return the number of classes of an evaluation: from its record, or else from the text of a variant."""
    is_variant = found.model.partition(":")[0] in PRESETS
    return count_classes(found.model) if found.num_classes is None and is_variant else found.num_classes


def describe_group(group: SeedGroup, newest: MeasuredTop1) -> str:
    """Describe the evaluations of one accuracy: time, weights, and the training of the weights."""
    last = group.newest
    weights = [f"{one.checkpoint} (SHA-256 {one.sha256[:12]})" for one in group.evaluations]
    text = (
        f"saevit eval {last.record.time}: {last.model}, weights of {', '.join(weights)}, "
        f"{last.data} ({last.split})"
    )
    if last.training is None:
        return f"{text}; how they were trained is not known"
    t = last.training
    seeds = ", ".join(str(one.training.seed) for one in group.evaluations if one.training)
    text += f"; trained with seed {seeds}, learning rate {t.lr:g}, {describe_budget(last)}"
    if group.is_otherwise:
        budget = describe_budget(newest) if newest.terms else "a recipe of its own"
        text += f", and not as {newest.model}: {budget}"
    if group.other_rates:
        rates = ", ".join(f"{rate:g}" for rate in group.other_rates)
        text += f"; {rates} were trained too: the learning rate with the most seeds, then with the highest "
        text += "accuracy on these images, is shown"
    return text


def describe_budget(found: MeasuredTop1) -> str:
    """Describe the budget of a training: epochs, images and recipe."""
    t = found.training
    assert t is not None
    epochs = plural(t.epochs, "epoch") if t.is_complete else f"epoch {t.epoch} of {t.epochs}"
    return f"{epochs} ({t.images:,} images) by recipe {t.recipe} (from {t.base})"


def describe_other_images(found: MeasuredTop1, newest: MeasuredTop1) -> str:
    """Describe how the images of an evaluation differ from those of the newest one; empty if equal."""
    ours, theirs = (one.fingerprint[:12] or "none" for one in (found, newest))
    counts = [one.share.total + one.unreadable for one in (found, newest)]
    if found.fingerprint == newest.fingerprint and counts[0] == counts[1]:
        return ""
    of = f"not the data of {newest.model}, evaluated {newest.record.time}"
    return f"; {of}: fingerprint {ours} and {theirs}, {counts[0]:,} and {counts[1]:,} images"


def network_key(model: str) -> str:
    """Return the text of a model without number of classes, drop path and weights, to compare networks."""
    if model.partition(":")[0] in PRESETS:
        try:
            return str(replace(parse(model), num_classes=1, drop_path_rate=0.0))
        except SaevitError:
            return model
    library = read_library_model(model)
    return (library.name if library else model).partition(".")[0]


def choose_accuracies(
    text: str, found: Sequence[MeasuredTop1], definition: int = saevit.NETWORK
) -> MeasuredOn:
    """Select the evaluations on `SOURCE` or `SOURCE@SPLIT`; the default split is validation.

    Raises:
        OptionError: there is no such evaluation; the message names the data that have evaluations.
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
            data = prefix + printable(str(path.resolve()))  # as records write paths
    on = MeasuredOn.select(found, data, split, definition)
    if not on.groups and on.left_out:
        raise OptionError(f"--top1 {text}: {on.left_out_note}; run saevit eval again")
    if not on.groups:
        others = list(dict.fromkeys(_option_value(one.data, one.split) for one in found))
        ways = nearest(text, others) if others else "saevit eval measures it"
        raise OptionError(f"--top1 {text}: no evaluation on {data} ({split}) is stored; {ways}")
    return on


def accuracies_of(run: Run) -> MeasuredOn | None:
    """Return the measured accuracies that a stored run has; None if it was shown with published ones."""
    if not run.top1s:
        return None
    newest = run.top1s[-1]
    return MeasuredOn.select(run.top1s, newest.data, newest.split, run.environment.network)


def add_hints(comparison: Comparison, found: Sequence[MeasuredTop1]) -> Comparison:
    """Add to a comparison of published accuracies the datasets on which its models were also evaluated."""
    pairs = dict.fromkeys((one.data, one.split) for one in found)
    definition = comparison.run.environment.network if comparison.run else saevit.NETWORK
    hints = []
    for data, split in pairs:
        on = MeasuredOn.select(found, data, split, definition)
        if number := sum(on.find(c.model) is not None for c in comparison.candidates):
            hints.append(f"{on.name}, {number} of these models: --top1 {_option_value(data, split)}")
    return replace(comparison, also_measured=tuple(hints))


def _option_value(data: str, split: str) -> str:
    """Write data and split in the form of --top1."""
    return data if split == SPLITS[0] else f"{data}@{split}"
