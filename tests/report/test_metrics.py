"""One definition of every axis, order and front; rank correlations, and pairs of models that disagree."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from saevit.comparing.comparison import Accuracy, Candidate
from saevit.errors import OptionError
from saevit.report.metrics import (
    COSTS,
    METRICS,
    check_axes,
    describe_agreement,
    find_disagreements,
    find_front,
    find_metric,
    sort_candidates,
)
from saevit.runs.run import Subject
from saevit.runs.statistics import rank_correlation
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


VALUES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=30)
RHO = "rank correlation"
ROUNDS = 6  # the fewest that resolve anything at 95 %


def model(name: str, macs: float, seconds: float, spread: float = 0.0, rounds: int = ROUNDS) -> Candidate:
    """Made up: times alternate around their median."""
    samples = tuple(seconds * (1 + spread * (-1) ** i) for i in range(rounds))
    latency = Subject(label=name, name=name, conditions=CONDITIONS, samples=samples)
    return Candidate(model=name, macs=round(macs * 1e9), subject=latency)


def models(pairs: Sequence[tuple[float, float]]) -> list[Candidate]:
    return [model(f"m{i}", macs, seconds) for i, (macs, seconds) in enumerate(pairs)]


@given(VALUES)
def test_it_is_pearsons_correlation_of_ranks_with_ties_averaged(pairs: list[tuple[int, int]]) -> None:
    xs, ys = zip(*pairs, strict=True)
    assume(len(set(xs)) > 1)
    assume(len(set(ys)) > 1)
    a, b = (
        [sum(other < value for other in all_of) + (all_of.count(value) + 1) / 2 for value in all_of]
        for all_of in (xs, ys)
    )
    mean = (len(pairs) + 1) / 2
    product = sum((p - mean) * (q - mean) for p, q in zip(a, b, strict=True))
    norm = math.sqrt(sum((p - mean) ** 2 for p in a) * sum((q - mean) ** 2 for q in b))
    assert rank_correlation(xs, ys) == pytest.approx(product / norm)


def test_known_values() -> None:
    """Without ties, 1 - 6 sum d^2 / (n (n^2 - 1)): here d = 1, 1, 0, 1, 1."""
    assert rank_correlation([1, 2, 3, 4, 5], [2, 1, 3, 5, 4]) == pytest.approx(1 - 6 * 4 / 120)
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 1], [1, 2]) is None
    with pytest.raises(ValueError, match="2 and 1"):
        rank_correlation([1, 2], [1])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((1, 2, 3, 4, 5, 6, 7, 8), "are nearly always faster: rank correlation 1.00 over 8 models"),
        ((3, 2, 1, 4, 7, 6, 5, 8), "are mostly faster, but not always: rank correlation 0.81 over 8 models"),
        ((4, 3, 2, 1, 8, 7, 6, 5), "are often not faster: rank correlation 0.52 over 8 models"),
        ((5, 6, 7, 8, 4, 3, 1, 2), "are mostly slower: rank correlation -0.74 over 8 models"),
        (
            (4, 3, 7, 1, 8, 2, 6, 5),
            "are about as often slower as faster: rank correlation 0.17 over 8 models",
        ),
        ((1, 2, 3, 4, 5, 6, 7), ""),
        ((1, 1, 1, 1, 1, 1, 1, 1), ""),
    ],
)
def test_the_words_follow_from_the_value(seconds: tuple[int, ...], words: str) -> None:
    found = models([(i + 1, s) for i, s in enumerate(seconds)])
    assert describe_agreement(found, "gmacs", "latency") == (words and f"Models with fewer MACs {words}")


def test_more_throughput_is_better_so_the_same_words_come_with_the_other_sign() -> None:
    found = models([(i + 1, i + 1) for i in range(8)])
    message = "Models with fewer MACs are nearly always faster: rank correlation"
    assert describe_agreement(found, "gmacs", "latency") == f"{message} 1.00 over 8 models"
    assert describe_agreement(found, "gmacs", "throughput") == f"{message} -1.00 over 8 models"


def test_models_without_both_figures_are_not_ranked() -> None:
    found = [*models([(i + 1, i + 1) for i in range(8)]), Candidate(model="counted", macs=1)]
    assert describe_agreement(found, "gmacs", "latency").endswith("over 8 models")
    assert describe_agreement(found[1:], "gmacs", "latency") == "", "7 models with both are too few"


def test_the_starkest_contradiction_comes_first() -> None:
    a, b, c = models([(1.0, 4.0), (2.0, 3.0), (8.0, 1.0)])
    found = find_disagreements([a, b, c], "gmacs", "latency")
    assert [(d.better.model, d.worse.model) for d in found] == [("m0", "m2"), ("m1", "m2"), ("m0", "m1")]
    assert (found[0].x_ratio, found[0].y_ratio) == (1 / 8, 4)
    assert all(d.is_resolved for d in found)


def test_what_agrees_or_ties_does_not_contradict() -> None:
    assert (
        find_disagreements(models([(1.0, 1.0), (2.0, 2.0), (2.0, 3.0), (3.0, 3.0)]), "gmacs", "latency") == []
    )


def test_noise_is_not_a_resolved_contradiction() -> None:
    a, b = model("a", 1, 1.1, spread=0.3), model("b", 2, 1.0, spread=-0.3)
    (found,) = find_disagreements([a, b], "gmacs", "latency")
    assert not found.is_resolved
    (found,) = find_disagreements(
        [model("a", 1, 2, rounds=ROUNDS - 1), model("b", 2, 1, rounds=ROUNDS - 1)], "gmacs", "latency"
    )
    assert not found.is_resolved
    (found,) = find_disagreements([model("a", 1, 2), model("b", 2, 1, rounds=ROUNDS + 1)], "gmacs", "latency")
    assert not found.is_resolved  # not of the same rounds


def test_counts_have_no_noise() -> None:
    a, b = (replace(c, params=p) for c, p in zip(models([(1, 1), (2, 1)]), (9, 3), strict=True))
    (found,) = find_disagreements([a, b], "gmacs", "params")
    assert found.is_resolved
