"""A stored run, read back as the comparison or the timings that it was."""

from dataclasses import replace
from pathlib import Path

import pytest

from saevit.comparing.candidates import record_figures
from saevit.comparing.compare import compare, comparison_of, resolve_models
from saevit.errors import OptionError
from saevit.measure.timing import TimingOptions
from saevit.profiling import profile
from saevit.report.views.compare import write_comparison_json
from saevit.runs.store import Writer, read_run

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1,stem=8,classes=10"
LARGE = "saevit_pico:dims=16-16-32-32,heads=1,depths=2,classes=10"
PLAN = TimingOptions(batch_sizes=(1,), rounds=7, min_time=0.002, threads=1, device="cpu")


def test_a_comparison_comes_back_whole(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        found = compare(
            [LARGE, "edgevit_xs", SMALL], reference=SMALL, img_size=(64, 64), timing=PLAN, writer=writer
        )
    again = comparison_of(read_run(writer.path))
    assert write_comparison_json(again) == write_comparison_json(found)


def test_two_trainings_of_one_network_share_its_samples(tmp_path: Path) -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError)
    models = resolve_models(["fastvit_t8.apple_in1k", "fastvit_t8.apple_dist_in1k"])
    with Writer(tmp_path) as writer:
        found = compare([SMALL, *models], img_size=(64, 64), timing=PLAN, writer=writer)
    run = read_run(writer.path)
    assert [s.name for s in run.subjects if s.quantity == "latency"] == [found.reference, models[0]]
    _, plain, distilled = found.candidates
    assert plain.samples == distilled.samples != ()
    assert (distilled.model, distilled.same_as, distilled.macs) == (models[1], models[0], plain.macs)
    assert plain.accuracy is not None
    assert distilled.accuracy is not None
    assert plain.accuracy.top1 < distilled.accuracy.top1
    assert write_comparison_json(comparison_of(run)) == write_comparison_json(found)
    turned = comparison_of(run, reference=models[0])
    assert turned.ratio(turned.candidates[2]) is None  # one network has no ratio to itself


@pytest.mark.parametrize("stored", ["timm:resnet10t", "timm:resnet10t.c3_in1k"])
def test_a_stored_model_is_found_with_and_without_its_tag(stored: str, tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        compare([SMALL, stored], img_size=(32, 32), timing=PLAN, writer=writer)
    run = read_run(writer.path)
    for text in ("timm:resnet10t", "timm:resnet10t.c3_in1k", *resolve_models(["resnet10t"])):
        assert [c.model for c in comparison_of(run, models=[text]).candidates] == [stored]
    with pytest.raises(OptionError, match="'timm:resnet10t:classes=10' is not in the run"):
        comparison_of(run, models=["timm:resnet10t:classes=10"])


def test_another_reference_and_fewer_models(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        found = compare([LARGE, SMALL], reference=SMALL, img_size=(64, 64), timing=PLAN, writer=writer)
    large, small = (c.model for c in found.candidates)
    run = read_run(writer.path)
    turned = comparison_of(run, reference=large)
    before, after = found.ratio(found.candidates[0]), turned.ratio(turned.candidates[1])
    assert before is not None
    assert after is not None
    assert after.high == pytest.approx(1 / before.low)
    assert [c.model for c in comparison_of(run, models=[small]).candidates] == [small]
    with pytest.raises(OptionError, match="'saevit_tiny' is not in the run"):
        comparison_of(run, models=["saevit_tiny"])


def test_a_profile_is_a_comparison_of_its_configurations(tmp_path: Path) -> None:
    plan = replace(PLAN, batch_sizes=(1, 4))
    with Writer(tmp_path) as writer:
        profile(SMALL, img_size=(64, 64), counters=["analytic"], timing=plan, writer=writer)
    found = comparison_of(read_run(writer.path))
    assert [c.subject.conditions.batch_size for c in found.candidates if c.subject] == [1, 4]
    assert len({c.model for c in found.candidates}) == 2
    assert {c.family for c in found.candidates} == {"SAEViT"}


def test_facts_say_where_they_are_from() -> None:
    found = compare([SMALL, "edgevit_xs"], img_size=(64, 64))
    records = record_figures(found.candidates)
    assert {(r.quantity, r.source) for r in records} == {
        ("params", "analytic"),
        ("macs", "analytic"),
        ("activations", "analytic"),
        ("peak_bytes", "analytic"),
        ("top1", "published"),
    }
