"""Several models in one interleaved run."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from saevit.comparing.candidates import candidate_of, join_run
from saevit.comparing.compare import compare, resolve_models
from saevit.comparing.comparison import Candidate, Comparison
from saevit.errors import OptionError
from saevit.measure.timing import TimingOptions
from saevit.report.metrics import sort_candidates
from saevit.report.scatter.captions import describe_timing
from saevit.report.views.compare import (
    tabulate_comparison,
    view_comparison,
    write_comparison_csv,
    write_comparison_json,
)
from saevit.runs.run import Subject
from saevit.runs.statistics import ratio
from saevit.variant import parse
from tests.measure.conftest import CONDITIONS

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1,stem=8,classes=10"
LARGE = "saevit_pico:dims=16-16-32-32,heads=1,depths=4,classes=10"
PLAN = TimingOptions(batch_sizes=(1,), rounds=7, min_time=0.002, threads=1, device="cpu")


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare([LARGE, SMALL], reference=SMALL, img_size=(64, 64), timing=PLAN)


def by_model(comparison: Comparison) -> dict[str, Candidate]:
    return {c.model: c for c in comparison.candidates}


def test_the_order_is_the_one_given(found: Comparison) -> None:
    assert [c.params for c in found.candidates] == sorted(
        (c.params or 0 for c in found.candidates), reverse=True
    )


def test_a_bigger_network_takes_longer(found: Comparison) -> None:
    large, small = found.candidates
    seen = found.ratio(large)
    assert seen is not None
    assert seen == ratio(large.seconds_per_image, small.seconds_per_image)
    assert seen.median > 1
    assert found.ratio(small) is None  # the reference has no ratio to itself


def test_all_were_in_the_same_rounds(found: Comparison) -> None:
    assert found.run is not None
    assert {len(c.samples) for c in found.candidates} == {PLAN.rounds}
    assert len(found.run.twin) == PLAN.rounds


def test_each_configuration_of_a_model_is_a_row() -> None:
    plan = replace(PLAN, rounds=2, dtypes=("fp32", "bf16"))
    found = compare([LARGE, SMALL], reference=SMALL, img_size=(64, 64), timing=plan)
    assert [c.model for c in found.candidates] == [
        f"{parse(model)} ({dtype})" for model in (SMALL, LARGE) for dtype in ("fp32", "bf16")
    ]
    assert found.reference == f"{parse(SMALL)} (fp32)"
    small, half, *_ = found.candidates
    assert small.macs == half.macs
    assert (small.peak_bytes, half.params) == (2 * (half.peak_bytes or 0), small.params)
    assert found.ratio(half) == ratio(half.seconds_per_image, small.seconds_per_image)
    title = tabulate_comparison(found, None).title
    assert "2 models in 4 configurations" in title
    assert "fp32, bf16, batch 1, eager, 1 thread" in title
    assert found.run is not None
    assert "fp32, bf16, batch 1, eager, 1 thread" in describe_timing(found.run)  # in the caption of the plot


def test_a_model_in_int8_has_no_accuracy_of_other_weights() -> None:
    published = candidate_of("resnet18", (224, 224))
    conditions = replace(CONDITIONS, runtime="onnxruntime")
    rows = [
        replace(published, subject=Subject(label="resnet18", name="resnet18", conditions=each))
        for each in (conditions, replace(conditions, dtype="int8"))
    ]
    joined = join_run(rows, None, "resnet18", (224, 224), "fp32", None)
    assert [c.accuracy for c in joined.candidates] == [published.accuracy, None]
    assert published.accuracy


def test_counts_without_timing() -> None:
    found = compare([SMALL, LARGE], img_size=(64, 64))
    assert found.run is None
    assert all(c.macs and not c.samples for c in found.candidates)
    assert not found.failed


def test_a_failure_is_a_row_and_the_others_finish() -> None:
    broken = "timm:no_such_model"
    found = compare([SMALL, broken, f"{SMALL},width=0"], img_size=(64, 64), timing=PLAN)
    first, second, third = found.candidates
    assert first.samples
    assert "is not a timm model" in (second.reason or "") or "torchvision" in (second.reason or "")
    assert "width=0 must be above 0" in (third.reason or "")
    assert found.failed
    warnings = view_comparison(found, None).warnings
    assert any(warning.startswith(f"{broken}: ") for warning in warnings)


def test_a_model_without_a_network_keeps_its_published_accuracy() -> None:
    found = compare([SMALL, "edgevit_xs"], img_size=(64, 64))
    relative = found.candidates[1]
    assert relative.accuracy is not None
    assert (relative.published_only, relative.reason) == (True, None)
    assert relative.macs is None  # its figure is of another size
    assert not found.failed
    assert any(
        "edgevit_xs: published figures only" in note for note in tabulate_comparison(found, None).notes
    )


def test_the_library_reads_the_texts_of_the_command() -> None:
    found = compare(
        ["saevit_[np]*", "resnet10t", "resnet10t:classes=10"], reference="resnet10t", img_size=(32, 32)
    )
    assert [c.model for c in found.candidates] == [
        "saevit_pico",
        "saevit_nano",
        "timm:resnet10t",
        "timm:resnet10t:classes=10",
    ]
    assert found.reference == "timm:resnet10t"
    *_, whole, ten = found.candidates
    assert (whole.params or 0) - (ten.params or 0) == 990 * 513


def test_what_memory_cannot_hold_is_refused_alone() -> None:
    found = compare([SMALL, "saevit_tiny:width=100"], img_size=(64, 64), timing=PLAN)
    assert found.candidates[0].samples
    assert "GB are free" in (found.candidates[1].reason or "")


def test_batches_of_different_size_are_compared_per_image(found: Comparison) -> None:
    large, small = found.candidates
    assert large.subject is not None
    doubled = replace(
        large,
        subject=replace(
            large.subject,
            samples=tuple(2 * s for s in large.samples),
            conditions=replace(large.subject.conditions, batch_size=2),
        ),
    )
    both = replace(found, candidates=(doubled, small))
    assert both.ratio(doubled) == found.ratio(large)


def test_published_accuracy_stands_beside_and_never_on_variants() -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError)
    found = compare([SMALL, *resolve_models(["mobilenetv3_large_100"])], img_size=(64, 64))
    variant, published = found.candidates
    assert variant.accuracy is None
    assert published.accuracy is not None
    assert (published.accuracy.top1, published.accuracy.img_size) == (75.784, 224)
    assert published.accuracy.source


def test_a_pattern_of_many_models_is_refused() -> None:
    with pytest.raises(OptionError, match=r"'saevit_\*' matches 5 models, more than 4: .* add --all"):
        resolve_models(["saevit_*"], most=4)
    assert len(resolve_models(["saevit_*"], most=5)) == len(resolve_models(["saevit_*"])) == 5


def test_sorting_puts_the_best_first_and_the_unknown_last(found: Comparison) -> None:
    unknown = Candidate(model="x", failure="no")
    everyone = (unknown, *found.candidates)
    assert [c.model for c in sort_candidates(everyone, "gmacs")][-1] == "x"
    assert sort_candidates(everyone, "latency")[0].model == found.reference
    assert sort_candidates(everyone, "throughput")[0].model == found.reference
    assert sort_candidates(everyone, None)[0] is unknown


def test_raw_samples_reproduce_the_printed_ratio(found: Comparison) -> None:
    data = {entry["model"]: entry for entry in json.loads(write_comparison_json(found))["candidates"]}
    large = found.candidates[0]
    again = ratio(data[large.model]["latency"]["samples"], data[found.reference]["latency"]["samples"])
    (row,) = [row for row in tabulate_comparison(found, None).rows if f"{row[0]},classes=10" == large.model]
    value = "not resolved" if again.verdict == "not resolved" else f"{again.median:.3f}"
    assert f"{value} [{again.low:.3f}, {again.high:.3f}]" in row


def test_what_is_odd_about_many_timings_is_one_line(found: Comparison) -> None:
    def odd(count: int) -> list[str]:
        large = found.candidates[0]
        assert large.subject is not None
        rows = [
            replace(
                large, model=f"net{i}", subject=replace(large.subject, notes=(f"not steady after {i}.5 s",))
            )
            for i in range(count)
        ]
        notes = tabulate_comparison(replace(found, candidates=tuple(rows)), None).notes
        return [note for note in notes if "not steady" in note]

    assert odd(2) == ["net0: not steady after 0.5 s", "net1: not steady after 1.5 s"]
    assert odd(5) == ["net0: not steady after 0.5 s, and 4 more models"]


def test_variants_are_folded_unless_asked_otherwise(found: Comparison) -> None:
    assert all(c.subject and c.subject.conditions.folded for c in found.candidates)
    assert any("in the folded form" in note for note in tabulate_comparison(found, None).notes)
    plain = compare([SMALL], img_size=(64, 64), timing=replace(PLAN, fold=False))
    assert not any(c.subject and c.subject.conditions.folded for c in plain.candidates)
    assert not any("in the folded form" in note for note in tabulate_comparison(plain, None).notes)


def test_csv_has_a_row_a_model(found: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(write_comparison_csv(found))))
    assert [row["model"] for row in rows] == [c.model for c in found.candidates]
    assert all(float(row["infer_step_time"]) > 0 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": []}, "no models: name at least one"),
        ({"models": [SMALL], "reference": "saevit_tiny"}, "reference 'saevit_tiny' is not compared"),
        ({"models": [SMALL], "img_size": (16, 16)}, "16 px is out of range"),
        (
            {"models": [SMALL], "timing": TimingOptions(device="tpu", batch_sizes=(1,))},
            "device 'tpu' is not known",
        ),
    ],
)
def test_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        compare(**arguments)  # type: ignore[arg-type]


def test_an_unknown_order_is_refused(found: Comparison) -> None:
    with pytest.raises(OptionError, match="metric 'speed' is not known"):
        tabulate_comparison(found, "speed")
