"""Calibration error against the definition, written slowly."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.runs.statistics import calibration_error

judged = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def plainly(confidences: list[float], hits: list[bool], bins: int) -> float:
    """Bin by bin: the share of images in it, times |accuracy - mean confidence|, exactly."""
    total = Fraction(0)
    for m in range(1, bins + 1):
        inside = [
            (Fraction(c), h)
            for c, h in zip(confidences, hits, strict=True)
            if (m - 1) / bins < c <= m / bins or (m == 1 and c == 0)
        ]
        if inside:
            accuracy = Fraction(sum(h for _, h in inside), len(inside))
            confidence = sum((c for c, _ in inside), Fraction(0)) / len(inside)
            total += Fraction(len(inside), len(confidences)) * abs(accuracy - confidence)
    return float(total)


@given(judged, st.integers(1, 20))
def test_the_definition(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidences, hits = [c for c, _ in pairs], [h for _, h in pairs]
    assert calibration_error(confidences, hits, bins) == pytest.approx(
        plainly(confidences, hits, bins), abs=1e-12
    )


def test_known_values() -> None:
    assert calibration_error([1.0, 1.0], [True, True]) == 0
    assert calibration_error([1.0, 1.0], [False, True]) == 0.5
    assert calibration_error([0.75] * 4, [True, True, True, False]) == 0
    assert calibration_error([0.2, 1.0], [True, False], bins=1) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("confidences", "hits"), [([], []), ([0.5], []), ([1.1], [True]), ([float("nan")], [True])]
)
def test_what_is_no_confidence(confidences: list[float], hits: list[bool]) -> None:
    with pytest.raises(ValueError, match="confidence"):
        calibration_error(confidences, hits)
