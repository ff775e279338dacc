"""Numbers to text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.report import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5_681_756, "5.68 M"),
        (999, "999"),
        (1000, "1.00 k"),
        (806_806_688, "807 M"),
        (0, "0"),
        (2.5e12, "2.50 T"),
    ],
)
def test_scaled(value: float, text: str) -> None:
    assert units.scaled(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.01234, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_digits(value: float, text: str) -> None:
    assert units.digits(value) == text


@given(st.floats(0.9, 1, exclude_max=True))
def test_what_is_not_all_never_reads_100(share: float) -> None:
    assert units.percent(share, 2) != "100.00 %"


def test_percent() -> None:
    assert units.percent(1) == "100.0 %"
    assert units.percent(0.99976, 2) == "99.98 %"
    assert units.percent(0.999999, 2) == "99.99 %"


def test_flops_are_two_a_mac() -> None:
    assert units.flops(806_806_688) == 1_613_613_376
    assert units.giga(806_806_688) == "0.8068"


@pytest.mark.parametrize(("value", "text"), [(22_727_024, "22.7 MB"), (12, "12 B"), (4.18e11, "418 GB")])
def test_size(value: float, text: str) -> None:
    assert units.size(value) == text
