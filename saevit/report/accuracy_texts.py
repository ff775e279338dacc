"""Columns and texts of accuracies and their differences, for tables, messages and figures."""

from collections.abc import Iterable, Sequence

from saevit.comparing.comparison import Accuracy, Comparison
from saevit.provenance import Training
from saevit.report.columns import Column, attribute_columns, number_column, text_column
from saevit.runs.accuracy_statistics import AccuracyDifference
from saevit.text import plural


def write_points(values: Sequence[float]) -> list[str]:
    """Write differences in percentage points with sign: one decimal, or two if one decimal would show 0."""
    decimals = 2 if any(round(100 * value, 1) == 0 for value in values) else 1
    return [f"{100 * value:+.{decimals}f}" for value in values]


def write_difference(difference: AccuracyDifference) -> str:
    """Write a difference with its interval; a difference that is not significant reads `not resolved`."""
    value, low, high = write_points((difference.value, difference.low, difference.high))
    return f"{value if difference.is_resolved else 'not resolved'} [{low}, {high}]"


def write_top1(accuracy: Accuracy) -> str:
    """Write a top-1, with its interval if it is measured, and with a star if it is not comparable."""
    value = f"{accuracy.top1:.1f}{' ' if accuracy.plain else '*'}"
    return value + " [{:.1f}, {:.1f}]".format(*accuracy.interval) if accuracy.interval else value


ACCURACY: tuple[Column[Accuracy], ...] = (
    Column("top-1", write_top1, "right", key="top1", value=lambda a: a.top1),
    number_column("at px", "top1_img_size", lambda a: a.img_size, str),
    text_column("source", "top1_mark", lambda a: a.mark),
    *attribute_columns(top1_source="source", top1_measured_on="measured_on"),
    Column(key="top1_low", value=lambda a: a.interval[0] if a.interval else None),
    Column(key="top1_high", value=lambda a: a.interval[1] if a.interval else None),
    number_column("images", "top1_images", lambda a: a.images, "{:,}".format),
    number_column("seeds", "top1_seeds", lambda a: a.seeds, str),
    number_column("epochs", "top1_epochs", lambda a: a.epochs, str),
    *attribute_columns(top1_trained_images="trained_images", top1_terms="terms"),
)
DIFFERENCE: tuple[Column[AccuracyDifference], ...] = (
    Column("difference", write_difference, key="top1_difference", value=lambda d: 100 * d.value),
    Column(key="top1_difference_low", value=lambda d: 100 * d.low),
    Column(key="top1_difference_high", value=lambda d: 100 * d.high),
    *attribute_columns(top1_verdict="verdict", top1_is_paired="is_paired", top1_weights_p="weights_p"),
)


def describe_training(training: Training) -> str:
    """Write the seed, the epochs and the hash of the recipe of a training."""
    epochs = plural(training.epochs, "epoch")
    if not training.is_complete:
        epochs = f"epoch {training.epoch} of {training.epochs}"
    return f"seed {training.seed}, {epochs}, terms {training.recipe}"


def describe_measurement(comparison: Comparison) -> str:
    """Describe measured accuracies: their images, their training, and the meaning of their intervals."""
    measured = [c.accuracy for c in comparison.candidates if c.accuracy and c.accuracy.measured_on]
    counted = [accuracy for accuracy in measured if accuracy.terms] or measured  # by the chosen recipe
    text = f"{comparison.top1_on}, {write_range(a.images for a in counted) or 'no'} images"
    if not any(accuracy.terms for accuracy in counted):
        return f"{text}; the recipe of the trainings is not known; intervals at 95 % are over images only"
    sizes, epochs = write_range(a.img_size for a in counted), write_range(a.epochs for a in counted)
    images = write_range(round((a.trained_images or 0) / (a.epochs or 1)) for a in counted)
    seeds = [accuracy.seeds or 1 for accuracy in counted]
    over = "seeds and images" if min(seeds) > 1 else "images only"
    if min(seeds) == 1 < max(seeds):
        over = "seeds and images, with one seed over images only"
    return (
        f"{text}, at {sizes or 'several'} px after {epochs} {'epoch' if epochs == '1' else 'epochs'} of "
        f"{images} images, "
        f"{write_range(seeds)} {'seed' if max(seeds) == 1 else 'seeds'}; intervals at 95 % are over {over}"
    )


def write_range(values: Iterable[int | None]) -> str:
    """Write the smallest and the largest number (once if they are equal); empty without numbers."""
    known = [value for value in values if value is not None]
    ends = dict.fromkeys((min(known), max(known))) if known else {}
    return " to ".join(f"{value:,}" for value in ends)
