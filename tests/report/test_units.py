"""Numbers and names of models to text."""

import math
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.report import units
from saevit.report.figure import axis_limits, plain_number
from saevit.text import printable


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


EXTREME = [
    0.0,
    -0.0,
    5e-324,
    1e-300,
    1e-12,
    1e-5,
    0.9999,
    999.9999,
    1e15,
    2.0**63,
    1e300,
    math.inf,
    -math.inf,
]
NUMBERS = st.floats(allow_nan=False) | st.sampled_from(EXTREME) | st.integers(-(2**63), 2**63)
WRITERS = [
    units.digits,
    units.scaled,
    units.giga,
    units.size,
    units.milliseconds,
    units.percent,
    plain_number,
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@given(value=NUMBERS)
def test_any_number_is_short_and_readable(write: Callable[[float], str], value: float) -> None:
    text = write(value)
    assert len(text) <= 30
    number = float(text.replace(",", "").split()[0])
    assert not text.startswith("-0 ")
    assert text != "-0"
    if math.isfinite(value) and value:
        assert math.isfinite(number) or abs(value) > 1e290
        assert number == 0 or (number > 0) == (value > 0)
    if write in (units.digits, units.scaled, plain_number):
        assert (number == 0) == (value == 0)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_no_number_is_said_to_be_none(write: Callable[[float], str]) -> None:
    assert write(math.nan).startswith("nan")


@given(st.floats(1e-300, 1e290))
def test_three_digits_are_right(value: float) -> None:
    assert float(units.digits(value)) == pytest.approx(value, rel=0.006, abs=0.0006)
    number, _, prefix = units.scaled(value).partition(" ")
    factor = {name: factor for factor, name in units.PREFIXES}.get(prefix, 1)
    assert float(number) * factor == pytest.approx(value, rel=0.006, abs=0.0006)
    assert float(plain_number(value).replace(",", "")) == pytest.approx(value, rel=0.006)


@given(st.tuples(*[st.floats(1e-24, 1e24)] * 3))
def test_an_interval_is_never_all_zeros(ends: tuple[float, float, float]) -> None:
    numbers = [float(part) for part in re.findall(r"[0-9][^], ]*", units.interval(*ends))]
    assert len(numbers) == 3
    assert all(numbers)


@given(st.lists(st.floats(1e-300, 1e300), min_size=1), st.booleans())
def test_limits_hold_the_values_and_are_finite(values: list[float], log: bool) -> None:
    low, high = axis_limits(values, (0.1, 0.1), log=log)
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low <= min(values)
    assert high >= max(values)
    assert low > 0 or not log


@given(st.floats(0.9, 1, exclude_max=True))
def test_what_is_not_all_never_reads_100(share: float) -> None:
    assert units.percent(share, 2) != "100.00 %"


def test_percent() -> None:
    assert units.percent(1) == "100.0 %"
    assert units.percent(0.99976, 2) == "99.98 %"
    assert units.percent(0.999999, 2) == "99.99 %"


def test_flops_are_two_a_mac() -> None:
    assert units.FLOPS_PER_MAC * 806_806_688 == 1_613_613_376
    assert units.giga(806_806_688) == "0.8068"


@pytest.mark.parametrize(("value", "text"), [(22_727_024, "22.7 MB"), (12, "12 B"), (4.18e11, "418 GB")])
def test_size(value: float, text: str) -> None:
    assert units.size(value) == text


PARTS = st.text(alphabet="abc_1", min_size=1, max_size=units.LONGEST)
MODELS = st.one_of(
    st.builds("timm:{}.{}".format, PARTS, PARTS),
    st.builds("timm:{}".format, PARTS),
    st.builds("birder:{}".format, PARTS),
    st.builds("saevit_tiny:dims={},width=1.25".format, PARTS),
    PARTS,
    st.text(st.characters(), max_size=2 * units.LONGEST),
)


def test_prefix_and_tag_go_where_nothing_is_lost() -> None:
    names = units.short_names(
        ["timm:resnet18.a1_in1k", "timm:resnet50.tv_in1k", "timm:resnet50.a1_in1k", "edgevit_xs"]
    )
    assert list(names.values()) == ["resnet18", "resnet50.tv_in1k", "resnet50.a1_in1k", "edgevit_xs"]


def test_a_variant_keeps_the_dots_of_its_values() -> None:
    assert units.short_names(["saevit_tiny:width=1.25"]) == {
        "saevit_tiny:width=1.25": "saevit_tiny:width=1.25"
    }


def test_variants_that_differ_in_the_middle_get_numbers() -> None:
    names = units.short_names(
        [f"saevit_tiny:dims=32-64-160-256,rates=8-4-2-{i},ffn=mlp,act=relu" for i in (1, 2)]
    )
    first, second = names.values()
    assert first.startswith("saevit_tiny")
    assert {first[-3:], second[-3:]} == {" #1", " #2"}


@given(st.lists(MODELS, max_size=20, unique=True))
def test_no_two_models_share_a_name_and_none_is_long(models: list[str]) -> None:
    names = units.short_names(models)
    assert list(names) == models
    assert len(set(names.values())) == len(models)
    assert all(len(name) <= units.LONGEST + len(" #20") for name in names.values())
    assert all(printable(name) == name for name in names.values())


def test_bare_names_are_short_and_differ() -> None:
    models = [
        "timm:resnet18.a1_in1k",
        "timm:resnet50.a1_in1k",
        "timm:resnet50.tv_in1k",
        "saevit_claim_0.8g",
        "saevit_tiny:width=1.25",
        "torchvision.models:resnet18",
    ]
    names = units.bare_names(models)
    assert list(names.values()) == [
        "resnet18",
        "resnet50.a1_in1k",
        "resnet50.tv_in1k",
        "saevit_claim_0.8g",
        "saevit_tiny:width=1.25",
        "torchvision.models:resnet18",
    ]


def test_classes_that_all_models_share_are_named_once() -> None:
    models = ["saevit_tiny:width=2,classes=10", "timm:resnet18:classes=10"]
    assert units.find_common_classes(models) == 10
    assert list(units.bare_names(models).values()) == ["saevit_tiny:width=2", "resnet18"]
    for other in (["saevit_pico"], ["timm:resnet18:classes=12"]):
        assert units.find_common_classes([*models, *other]) is None
        assert "classes=10" in units.bare_names([*models, *other])[models[0]]
    assert units.find_common_classes(models[:1]) is None
