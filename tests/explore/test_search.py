"""The sweep, the dynamic programme and the sample against a plain loop; several processes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from saevit.count.cost import count_network
from saevit.errors import OptionError
from saevit.explore import costs, sweep
from saevit.explore.latency_model import LatencyModel, make_grids
from saevit.explore.latency_parts import choose_parts
from saevit.explore.question import (
    OBJECTIVES,
    PARTIALS,
    QUANTITIES,
    Limit,
    Question,
    Search,
    choose_method,
    read_band,
    read_limit,
)
from saevit.explore.search import Answer, answer
from saevit.explore.space import Space, make_space, read_space
from saevit.explore.sweep import evaluate
from saevit.variant import PRESETS
from tests.explore.spaces import (
    BASE,
    IMG_SIZE,
    by_brute_force,
    make_latency,
    networks,
    part_ns,
    partials_of,
    spaces,
)


@st.composite
def queries(draw: st.DrawFn) -> Question:
    """Draw a question about a small space, its limits somewhere among its variants' values."""
    space = draw(spaces())
    known = [partials_of(spec, IMG_SIZE) for spec in networks(space).values()]
    assume(known)
    one_of_each = st.lists(
        st.sampled_from(OBJECTIVES), min_size=1, max_size=3, unique_by=lambda name: QUANTITIES[name].partials
    )
    objectives = draw(one_of_each)
    names = draw(
        st.lists(
            st.sampled_from(["gmacs", "params", "memory", "traffic", "latency", "effectiveness"]), max_size=2
        )
    )
    limits = []
    for name in dict.fromkeys(names):
        value = float(QUANTITIES[name].of(draw(st.sampled_from(known)), 0.0))
        is_band = name != "effectiveness" and draw(st.booleans())
        limits.append(
            Limit(quantity=name, text=name, high=value * 1.05, low=value * 0.9 if is_band else -np.inf)
        )
    return Question(
        space=space,
        img_size=IMG_SIZE,
        objectives=tuple(objectives),
        limits=tuple(limits),
        rising=draw(st.booleans()),
        rank=draw(st.sampled_from(OBJECTIVES)),
        top=draw(st.integers(0, 5)),
        latency=make_latency(space),
    )


def losses_of(found: Answer, query: Question) -> list[tuple[float, ...]]:
    """What the places of a front stand for."""
    everything, _ = by_brute_force(query)
    return [everything[place] for place in found.front]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queries())
def test_exhaustive_is_a_plain_loop(query: Question) -> None:
    kept, best = by_brute_force(query)
    found = answer(Search(question=query, method="exhaustive"))
    assert {kept[place] for place in found.front} == best
    assert found.front == tuple(sorted(found.front, key=lambda place: kept[place]))
    first = {values: min(p for p in kept if kept[p] == values) for values in best}
    assert set(found.front) == set(first.values())  # of equal ones the first
    assert found.findings.kept == len(kept)
    assert found.findings.seen == query.space.size
    assert found.findings.seen - found.findings.invalid == len(networks(query.space))
    assert len(found.top) == min(query.top, len(kept))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queries())
def test_the_dynamic_programme_is_a_plain_loop(query: Question) -> None:
    kept, best = by_brute_force(query)
    found = answer(Search(question=query, method="dp"))
    assert {kept[place] for place in found.front} == best
    assert len(found.front) == len(best)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queries(), st.data())
def test_partials_are_those_of_one_variant(query: Question, data: st.DataObject) -> None:
    evaluator = costs.Evaluator(query.space, IMG_SIZE, PARTIALS, query.latency)
    costs.check_exact(query.space, IMG_SIZE)
    places = np.array(data.draw(st.lists(st.sampled_from(range(query.space.size)), min_size=1, max_size=9)))
    drawn = evaluate(evaluator, places)
    valid = networks(query.space)
    for i, place in enumerate(places.tolist()):
        assert drawn.valid[i] == (place in valid)
        if place in valid:
            assert {name: each[i] for name, each in drawn.sums.items()} == partials_of(valid[place], IMG_SIZE)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queries(), st.integers(1, 7), st.integers(1, 500))
def test_how_a_space_is_cut_changes_nothing(query: Question, per_chunk: int, budget: int) -> None:
    whole = answer(Search(question=query, method="exhaustive"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "FEWEST", per_chunk)
        patch.setattr(sweep, "CHUNKS", 10**9)
        patch.setattr(sweep, "BUDGET", budget)
        patch.setattr(sweep, "ROWS", 3)
        assert answer(Search(question=query, method="exhaustive")) == whole


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queries())
def test_a_sample_finds_true_variants(query: Question) -> None:
    kept, best = by_brute_force(query)
    job = Search(question=query, method="sample", samples=3000, seed=1)
    found = answer(job)
    assert found.findings.seen == 3000
    assert set(found.front) <= kept.keys()
    assert answer(job) == found
    if query.space.size <= 100:  # 3000 draws miss one of 100 places with a chance of 10^-13
        assert {kept[place] for place in found.front} == best


def band_query(**changes: object) -> Question:
    """A question whose answer is not trivial."""
    space = read_space(BASE, {"dims2": "16:40:8", "dims3": "24:64:8", "depths3": "1:6", "ratios4": "1:4:0.5"})
    made = Question(space=space, img_size=IMG_SIZE, limits=(read_limit("--max-params", "params", "0.2"),))
    return replace(made, **changes)


def test_keys_of_the_whole_network_have_a_bound_in_the_programme() -> None:
    space = read_space(BASE, {"width": "0.001:2:0.001", "depth": "0.001:2:0.001"})
    with pytest.raises(OptionError, match="4,000,000 combinations, one dynamic programme each: at most"):
        answer(Search(question=Question(space=space, img_size=IMG_SIZE), method="dp"))


@pytest.mark.parametrize("method", ["exhaustive", "sample", "dp"])
def test_several_processes_find_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saevit.explore.search.WORTH_A_PROCESS", 0)
    space = make_space(
        BASE, {"width": (0.5, 0.75, 1.0), "dims3": (24, 32, 40), "depths3": tuple(range(1, 9))}
    )
    job = Search(question=band_query(space=space), method=method, samples=3 * 10**5)  # type: ignore[arg-type]
    assert answer(job, workers=2) == answer(job)


def test_ray_finds_the_same() -> None:
    pytest.importorskip("ray")
    job = Search(question=band_query(), method="exhaustive")
    assert answer(job, engine="ray") == answer(job)


def test_a_space_of_ten_to_the_twelve() -> None:
    stage = "1:10"
    texts = {f"depths{i}": stage for i in range(1, 5)} | {f"ratios{i}": "1,2,3,4,5" for i in range(1, 5)}
    dims = {"dims1": "16:168:8", "dims2": "32:336:16", "dims3": "64:672:32", "dims4": "96:1008:48"}
    space = read_space(PRESETS["saevit_tiny"], texts | dims)
    assert space.size == 10**12
    times = {part: part_ns(part) * 1e-9 for part in choose_parts(space)}
    latency = LatencyModel(make_grids(times), (1e-7, 2.0, 5e-9))
    high = latency.predict(space.base)
    assert high is not None
    limit = Limit(quantity="latency", text="latency", high=1e9 * high)
    query = Question(
        space=space, objectives=("latency", "most-gmacs"), limits=(limit,), rank="most-gmacs", latency=latency
    )
    assert choose_method(query.space.size, "auto") == "dp"
    found = answer(Search(question=query, method="dp"))
    specs = [space.spec_at(place) for place in found.front]
    seconds = [latency.predict(spec) or 0.0 for spec in specs]
    macs = [count_network(spec, (224, 224)).macs for spec in specs]
    assert (seconds, macs) == (sorted(set(seconds)), sorted(set(macs)))
    assert max(seconds) <= high
    assert len(macs) > 100
    base = count_network(space.base, (224, 224)).macs
    assert macs[-1] >= base  # the base variant keeps the limit


def test_nothing_kept_says_what_is_nearest() -> None:
    limits = (read_limit("--max-gmacs", "gmacs", "0.001"), read_limit("--max-params", "params", "0.2"))
    query = band_query(limits=limits)
    all_of_them = {p: partials_of(spec, IMG_SIZE) for p, spec in networks(query.space).items()}
    misses = {p: max(float(limit.miss(sums)) for limit in limits) for p, sums in all_of_them.items()}
    for method in ("exhaustive",):
        found = answer(Search(question=query, method=method))  # type: ignore[arg-type]
        assert found.findings.kept == 0
        assert (found.front, found.top) == ((), ())
        assert found.findings.nearest == (
            pytest.approx(min(misses.values())),
            min(misses, key=lambda p: (misses[p], p)),
        )
        counts = [sum(not limit.kept(s) for s in all_of_them.values()) for limit in limits]
        assert list(found.findings.excluded) == counts


def test_what_is_too_large_is_refused() -> None:
    huge = make_space(BASE, {"width": (1.0, 1024.0), "dims4": (2**20 // 1024,), "depth": (1.0, 1000.0)})
    with pytest.raises(OptionError, match="stay exact here"):
        answer(Search(question=Question(space=huge, img_size=(8192, 8192)), method="exhaustive"))
    texts = {f"{key}{i}": "1:60" for key in ("depths", "ratios") for i in range(1, 5)}
    wide = read_space(BASE, texts | {f"dims{i}": "8:480:8" for i in range(1, 5)})
    assert wide.size > 2**62
    for method in ("sample", "exhaustive"):
        with pytest.raises(OptionError, match="take --method dp"):
            answer(Search(question=Question(space=wide, top=0), method=method))  # type: ignore[arg-type]


def test_unknown_names_are_refused() -> None:
    query = band_query()
    with pytest.raises(OptionError, match="method 'al' is not known"):
        choose_method(query.space.size, "al")
    with pytest.raises(OptionError, match="engine 'dask' is not known"):
        answer(Search(question=query, method="exhaustive"), engine="dask")
    with pytest.raises(OptionError, match="objective 'top1' is not known"):
        band_query(objectives=("top1",))
    with pytest.raises(OptionError, match="gmacs,gmacs: name each one once"):
        band_query(objectives=("gmacs", "gmacs"))
    with pytest.raises(OptionError, match="no objectives"):
        band_query(objectives=())


def test_limits_are_exact_at_their_ends() -> None:
    limit = read_band("--gmacs-band", "gmacs", "0.8±1%")
    assert (limit.low, limit.high) == (792_000_000, 808_000_000)
    assert [bool(limit.kept({"macs": m})) for m in (791_999_999, 792_000_000, 808_000_000, 808_000_001)] == [
        False,
        True,
        True,
        False,
    ]
    assert read_band("", "gmacs", "0.8+-0.01") == replace(
        read_band("", "gmacs", "0.8±0.01"), text=" 0.8+-0.01"
    )
    assert read_limit("", "params", "5.7").high == 5_700_000
    assert read_limit("", "params", "5.7M").high == 5_700_000
    most = read_limit("--max-params", "params", "5.7")
    assert [bool(most.kept({"params": count})) for count in (5_700_000, 5_700_001)] == [True, False]
    for text in ("0.8", "0.8±", "x±1%", "0±1%"):
        with pytest.raises(OptionError, match="--gmacs-band"):
            read_band("--gmacs-band", "gmacs", text)
    with pytest.raises(OptionError, match="--max-gmacs big: a number above 0"):
        read_limit("--max-gmacs", "gmacs", "big")


def test_a_space_has_its_size_at_once() -> None:
    assert isinstance(Space(base=BASE, axes=()).size, int)
    assert Space(base=BASE, axes=()).size == 1
