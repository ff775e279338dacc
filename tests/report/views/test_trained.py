"""Accuracies of preferred variants beside those of random ones."""

from collections.abc import Sequence

import pytest

from saevit.comparing.comparison import Accuracy, Candidate, Comparison
from saevit.explore.exploration import CountedVariant
from saevit.report.views.trained import describe_preference, view_trained
from tests.report.views.test_explore import found


def accuracy(hits: int, number: int, terms: str = "t") -> Accuracy:
    """An accuracy over 100 images and one seed."""
    return Accuracy(
        top1=float(hits),
        img_size=32,
        mark="measured here",
        source=f"weights {number}",
        plain=True,
        measured_on="squares",
        interval=(hits - 5.0, hits + 5.0),
        images=100,
        seeds=1,
        terms=terms,
        epochs=1,
        trained_images=10,
        hits=((True,) * hits + (False,) * (100 - hits),),
    )


SEEN = found()
PAIRS = [(SEEN.front[i], SEEN.front[i + 1]) for i in (0, 2, 4)]


def trained(ours: Sequence[int], theirs: Sequence[int], terms: str = "t") -> dict[str, Accuracy]:
    """Accuracies of the variants of the pairs."""
    rows: list[CountedVariant] = [row for pair in PAIRS for row in pair]
    hits = [one for pair in zip(ours, theirs, strict=True) for one in pair]
    return {
        row.model: accuracy(count, i, terms if i else "t")
        for i, (row, count) in enumerate(zip(rows, hits, strict=True))
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "start"),
    [
        (
            (90, 91, 92),
            (60, 62, 61),
            "Preferred variants are more accurate than random ones of equal MACs: +",
        ),
        (
            (60, 62, 61),
            (90, 91, 92),
            "Preferred variants are less accurate than random ones of equal MACs: -",
        ),
        (
            (70, 60, 62),
            (61, 66, 60),
            "Whether preferred variants are more accurate than random ones ",
        ),
    ],
)
def test_a_preference_is_resolved_or_not(ours: list[int], theirs: list[int], start: str) -> None:
    text = describe_preference(SEEN, PAIRS, trained(ours, theirs))
    assert text.startswith(start)
    assert text.endswith("] points over 3 pairs.")
    assert ("not resolved" in text) == start.startswith("Whether")


def test_pairs_that_were_not_trained_on_equal_terms_are_not_compared() -> None:
    text = describe_preference(SEEN, PAIRS, trained((90, 91, 92), (60, 62, 61), terms="other"))
    assert text == "The preferred and the random variants were not evaluated on equal terms."
    assert describe_preference(SEEN, PAIRS, {}) == (
        "No pair of a preferred and a random variant of equal MACs was trained."
    )


def test_each_pair_is_shown_with_its_accuracies() -> None:
    known = trained((90, 91, 92), (60, 62, 61))
    compared = Comparison(
        candidates=tuple(Candidate(model=model, macs=10**9, accuracy=one) for model, one in known.items()),
        reference=PAIRS[0][0].model,
        img_size=(32, 32),
        dtype="fp32",
        run=None,
        top1_on="squares",
    )
    view = view_trained(SEEN, compared, PAIRS, {model: model for model in known})
    assert view.result.startswith("Preferred variants are more accurate ")
    table = view.tables[-1]
    assert [row[0] for row in table.rows] == [row.model for pair in PAIRS for row in pair]
    assert [row[1] for row in table.rows] == ["1", "1", "2", "2", "3", "3"]
    assert [row[2] for row in table.rows] == ["search", "at random"] * 3
    assert table.rows[0][4].startswith("90.0")
