"""One definition of every axis, order and front."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.compare.comparison import Accuracy, Candidate
from saevit.errors import OptionError
from saevit.report.metrics import COSTS, METRICS, check_axes, find_front, find_metric, sort_candidates
from saevit.runs.run import Subject
from tests.runs.test_record import CONDITIONS

PLAIN = Accuracy(top1=75.0, img_size=224, mark="published", source="a table", plain=True)
FULL = Candidate(
    model="net",
    params=5_000_000,
    macs=800_000_000,
    peak_bytes=4_000_000,
    subject=Subject(
        label="net", name="net", conditions=replace(CONDITIONS, batch_size=4), samples=(0.2, 0.4, 0.8)
    ),
    accuracy=PLAIN,
)


def candidates() -> st.SearchStrategy[list[Candidate]]:
    """Models whose figures often tie, some of them without an accuracy or from another recipe."""
    accuracy = st.builds(
        lambda top1, plain: replace(PLAIN, top1=top1, plain=plain),
        st.sampled_from([70.0, 75.0, 80.0]),
        st.booleans(),
    )
    one = st.tuples(st.none() | st.integers(1, 4), st.none() | accuracy)
    return st.lists(one, max_size=9).map(
        lambda rows: [Candidate(model=str(i), macs=m, accuracy=a) for i, (m, a) in enumerate(rows)]
    )


def test_units() -> None:
    found = {name: one.of(FULL) for name, one in METRICS.items()}
    assert found == pytest.approx(
        {"gmacs": 0.8, "params": 5.0, "memory": 4.0, "latency": 100.0, "throughput": 10.0, "top1": 75.0}
    )
    assert all(one.of(Candidate(model="bare")) is None for one in METRICS.values())
    assert set(COSTS) == METRICS.keys() - {"top1"}


@given(candidates())
def test_a_front_holds_whom_no_plain_model_beats(models: list[Candidate]) -> None:
    found = find_front(models, "gmacs", "top1")
    judged = [c for c in models if c.macs is not None and c.accuracy is not None and c.accuracy.plain]
    assert found.keys() == {c.model for c in judged}
    for c in judged:
        beaten = any(
            (o.macs, -o.accuracy.top1) != (c.macs, -c.accuracy.top1)  # type: ignore[union-attr]
            and o.macs <= c.macs  # type: ignore[operator]
            and o.accuracy.top1 >= c.accuracy.top1  # type: ignore[union-attr]
            for o in judged
        )
        assert found[c.model] is not beaten


def test_between_two_costs_every_model_is_judged() -> None:
    distilled = replace(FULL, model="distilled", accuracy=replace(PLAIN, plain=False))
    assert find_front([distilled], "params", "gmacs") == {"distilled": True}
    assert find_front([distilled], "params", "top1") == {}


@given(candidates(), st.sampled_from([None, "gmacs", "top1"]))
def test_an_order_loses_nobody(models: list[Candidate], name: str | None) -> None:
    ordered = sort_candidates(models, name)
    assert sorted(c.model for c in ordered) == sorted(c.model for c in models)
    if name:
        values = [find_metric(name).of(c) for c in ordered]
        known = [v for v in values if v is not None]
        assert values == known + [None] * (len(values) - len(known))
        assert known == sorted(known, reverse=find_metric(name).better == "max")


@pytest.mark.parametrize(
    ("xs", "y", "message"),
    [
        (("gmac",), "top1", "metric 'gmac' is not known: did you mean gmacs?"),
        (("gmacs",), "top5", "metric 'top5' is not known"),
        (("gmacs", "latency"), "latency", "axes latency and latency are the same"),
        (("gmacs", "gmacs"), "top1", "one is named twice"),
    ],
)
def test_axes_that_make_no_sense_are_refused(xs: tuple[str, ...], y: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_axes(xs, y)
