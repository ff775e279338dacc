"""Accuracies measured here beside costs: never of two datasets at once, never in a published one's row."""

import csv
import io
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

import saevit
from saevit.comparing.accuracies import MeasuredOn, accuracies_of, add_hints, choose_accuracies, network_key
from saevit.comparing.compare import compare, comparison_of, resolve_models
from saevit.comparing.comparison import Comparison
from saevit.errors import OptionError
from saevit.measure.timing import TimingOptions
from saevit.provenance import Training
from saevit.report.metrics import find_front
from saevit.report.scatter.captions import write_caption
from saevit.report.scatter.points import fill_panel, list_panels
from saevit.report.views.compare import (
    tabulate_comparison,
    view_comparison,
    write_comparison_csv,
    write_comparison_json,
)
from saevit.runs.accuracy_statistics import estimate_accuracy
from saevit.runs.evaluation import keep_evaluation, list_top1s, records_of
from saevit.runs.run import MeasuredTop1, read_top1
from saevit.runs.statistics import Share
from saevit.runs.store import Writer, read_run
from tests.runs.test_evaluation import FOUND

SMALL = "saevit_pico:dims=8-8-16-16,heads=1,depths=1,attn_blocks=1,stem=8"
LARGE = "saevit_pico:dims=16-16-32-32,heads=1,depths=2,attn_blocks=1,stem=8"
BASELINE = "timm:mobilenetv3_small_100"


def top1(
    model: str,
    hits: int,
    *,
    data: str = "digits",
    split: str = "validation",
    total: int = 199,
    fingerprint: str = "",
    version: str = saevit.__version__,
    training: Training | None = None,
    flags: tuple[bool, ...] = (),
) -> MeasuredTop1:
    """An evaluation that was read back."""
    made = replace(
        FOUND,
        model=model,
        data=data,
        split=split,
        fingerprint=fingerprint,
        top1=Share(hits=hits, total=total),
        environment=replace(FOUND.environment, saevit=version),
        training=training,
        hits=flags,
        unreadable=() if flags else FOUND.unreadable,
    )
    back = read_top1(records_of(made)[0])
    assert back is not None
    return back


MEASURED = [
    top1(SMALL + ",classes=10", 100),
    top1(SMALL + ",classes=10", 120),
    top1(BASELINE, 150),
    top1(LARGE, 199, data="/other/flowers"),
]


def trained(terms: str = "equal", *, seed: int = 0, epoch: int = 4, lr: float = 1e-3) -> Training:
    """Facts of a training of four epochs."""
    return Training(
        recipe=terms, base="short", seed=seed, lr=lr, epoch=epoch, epochs=4, images=40, fingerprint="f"
    )


def test_the_newest_of_the_data_that_were_asked_for() -> None:
    on = choose_accuracies("digits", MEASURED)
    small = on.find(SMALL)
    assert small is not None
    assert small.newest.share.hits == 120
    assert on.find(LARGE) is None
    assert on.find("mobilenetv3_small_100.lamb_in1k") is not None
    assert on.name == "digits (validation)"
    assert choose_accuracies("/other/flowers", MEASURED).name == "flowers (validation)"


@pytest.mark.parametrize("text", ["digit", "digits@train", "published@all"])
def test_data_on_which_nothing_was_measured(text: str) -> None:
    with pytest.raises(OptionError, match=f"--top1 {text}: no evaluation on"):
        choose_accuracies(text, MEASURED)
    with pytest.raises(OptionError, match="saevit eval measures it"):
        choose_accuracies(text, [])


def test_a_folder_is_known_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    found = [top1(SMALL, 9, data=str(tmp_path / "mine"), split="all")]
    assert choose_accuracies("mine@all", found).newest[0].share.hits == 9


def test_what_is_the_same_network() -> None:
    assert network_key(SMALL) == network_key(SMALL + ",classes=7")
    assert network_key(SMALL) != network_key(LARGE)
    assert network_key("timm:repvit_m1.dist_in1k") == network_key("repvit_m1")
    assert network_key("saevit_pico:nonsense=1") == "saevit_pico:nonsense=1"


def test_the_very_text_comes_before_its_network() -> None:
    on = MeasuredOn.select(
        [top1(SMALL + ",classes=10", 1), top1(SMALL, 2), top1(SMALL + ",classes=7", 3)],
        "digits",
        "validation",
        saevit.NETWORK,
    )
    found = on.find(SMALL)
    assert found is not None
    assert found.newest.share.hits == 2


def test_evaluations_of_variants_whose_network_was_another_are_left_out() -> None:
    old = [top1(SMALL, 198, version="0.1.0"), top1(LARGE, 197, version="0.1.0")]
    old.append(top1(BASELINE, 196, version="0.1.0"))
    on = choose_accuracies("digits", [*old, top1(SMALL, 7)])
    (small, baseline) = (on.find(SMALL), on.find(BASELINE))
    assert small is not None
    assert baseline is not None
    assert (small.newest.share.hits, baseline.newest.share.hits) == (7, 196)  # timm's network is the same
    assert on.find(LARGE) is None
    assert on.left_out == (LARGE,)
    found = compare([SMALL, LARGE, BASELINE], img_size=(64, 64), measured=on)
    assert [c.accuracy is None for c in found.candidates] == [False, True, False]
    note = f"evaluations of {LARGE} on digits (validation) are left out: another version"
    assert [text for text in tabulate_comparison(found, "top1").notes if text.startswith(note)]
    with pytest.raises(
        OptionError, match=r"--top1 digits: evaluations of .* are left out: .*; run saevit eval again"
    ):
        choose_accuracies("digits", old[:2])
    assert add_hints(compare([SMALL], img_size=(64, 64)), old).also_measured == ()


def test_only_complete_trainings_on_the_terms_that_were_asked_for() -> None:
    found = [
        top1(SMALL, 100, training=trained()),
        top1(SMALL, 150, training=trained("other")),
        top1(BASELINE, 160, training=trained(epoch=3)),
        top1(LARGE, 170),
    ]
    on = MeasuredOn.select(found, "digits", "validation", saevit.NETWORK, "equal")
    small = on.find(SMALL)
    assert small is not None
    assert (small.newest.share.hits, small.is_otherwise) == (100, False)
    assert [group.is_otherwise for group in on.groups] == [True, True, False]


IMAGES = 400


def evaluated(
    model: str, level: int, training: Training | None, *, fingerprint: str = "a" * 64, images: int = IMAGES
) -> MeasuredTop1:
    """An evaluation with about `level` hits of 400 images, mostly the same ones for all models."""
    seed = training.seed if training else 0
    flags = tuple((i * 7919) % IMAGES + (i * 31 + seed * 17) % 21 - 10 < level for i in range(images))
    return top1(model, sum(flags), total=images, fingerprint=fingerprint, training=training, flags=flags)


TRIALS = [
    evaluated(model, level, trained(seed=seed))
    for seed in (0, 1, 2)
    for model, level in ((SMALL + ",classes=10", 280), (BASELINE, 200), (LARGE, 278))
]


def compared(found: list[MeasuredTop1], *models: str) -> Comparison:
    """The models, counted only, with accuracies on digits."""
    return compare(
        models or [SMALL, BASELINE, LARGE], img_size=(64, 64), measured=choose_accuracies("digits", found)
    )


def test_all_seeds_form_one_accuracy_with_differences() -> None:
    found = compared(TRIALS)
    small, baseline, large = found.candidates
    assert small.accuracy is not None
    mine = [one for one in TRIALS if one.model.startswith(SMALL)]
    assert small.accuracy.top1 == pytest.approx(100 * sum(one.share.value for one in mine) / 3)
    expected = estimate_accuracy([one.hits for one in mine])
    assert small.accuracy.interval == (100 * expected.low, 100 * expected.high)
    assert (small.accuracy.seeds, small.accuracy.epochs, small.accuracy.terms) == (3, 4, "equal")
    assert found.difference(small) is None
    lower, equal = found.difference(baseline), found.difference(large)
    assert lower is not None
    assert equal is not None
    assert (lower.verdict, lower.is_paired, lower.seeds) == ("lower", True, (3, 3))
    assert (equal.verdict, equal.low < 0 < equal.high) == ("not resolved", True)
    view = view_comparison(found, None)
    (table,) = view.tables
    heads = [column.head for column in table.columns]
    cells = dict(zip(heads, table.rows[1], strict=True))
    points = next(cell for head, cell in cells.items() if head.startswith("points"))
    assert points.startswith(f"{100 * lower.value:+.1f} [")
    assert "4 epochs of 10 images, 3 seeds; intervals at 95 % are over seeds and images" in view.notes[0]
    rows = list(csv.DictReader(io.StringIO(write_comparison_csv(found))))
    assert [row["top1_verdict"] for row in rows] == ["", "lower", "not resolved"]
    assert rows[0]["top1_seeds"] == "3"
    data = json.loads(write_comparison_json(found))["candidates"]
    assert data[1]["top1_difference_high"] == pytest.approx(100 * lower.high)
    assert "not resolved" in view.result or "points more top-1" in view.result


def test_weights_that_were_trained_otherwise_are_shown_and_never_ranked() -> None:
    best = [
        evaluated(LARGE, 390, trained("other")),
        evaluated(BASELINE, 380, None),
        *(one for one in TRIALS if one.model.startswith(SMALL)),
    ]
    found = compared(best)
    small, *others = found.candidates
    for one in others:
        assert one.accuracy is not None
        assert (one.accuracy.mark, one.accuracy.plain) == ("trained otherwise", False)
        difference = found.difference(one)
        assert difference is not None
        assert difference.low > 0
        assert difference.verdict == "not resolved"
    assert find_front(found.candidates, "gmacs", "top1") == {small.model: True}
    assert any(
        "how they were trained is not known" in note for note in tabulate_comparison(found, None).notes
    )


def test_one_seed_each_is_a_difference_of_weights_only() -> None:
    found = compared([one for one in TRIALS if one.training and one.training.seed == 0])
    difference = found.difference(found.candidates[1])
    assert difference is not None
    assert difference.high < 0
    assert (difference.verdict, difference.has_seeds) == ("not resolved", False)
    view = view_comparison(found, None)
    assert "1 seed; intervals at 95 % are over images only" in view.notes[0]
    assert any("McNemar" in note and "other trainings" in note for note in view.tables[0].notes)
    cells = {
        column.head: cell for column, cell in zip(view.tables[0].columns, view.tables[0].rows[1], strict=True)
    }
    assert cells["Pareto-optimal by"] == "gmacs" or cells["Pareto-optimal by"] == "not resolved"


def test_other_images_are_never_paired() -> None:
    other = [evaluated(BASELINE, 200, trained(seed=seed), fingerprint="b" * 64) for seed in (0, 1, 2)]
    found = compared([*other, *(one for one in TRIALS if one.model != BASELINE)])
    baseline = found.candidates[1]
    assert baseline.accuracy is not None
    assert baseline.accuracy.mark == "measured here, other images"
    assert found.difference(baseline) is None
    assert baseline.model not in find_front(found.candidates, "gmacs", "top1")


def test_of_a_seed_the_newest_counts_and_of_rates_that_with_the_most_seeds() -> None:
    again = evaluated(BASELINE, 220, trained(seed=1))
    faster = [
        evaluated(BASELINE, 390, trained(seed=0, lr=5e-3)),
        evaluated(BASELINE, 100, trained(seed=3, lr=2e-4)),
    ]
    on = choose_accuracies("digits", [*faster, *TRIALS, again])
    group = on.find(BASELINE)
    assert group is not None
    assert {one.training.seed for one in group.evaluations if one.training} == {0, 1, 2}
    assert again in group.evaluations
    assert group.other_rates == (2e-4, 5e-3)
    tuned = choose_accuracies("digits", [faster[1], faster[0]]).find(BASELINE)
    assert tuned is not None
    assert tuned.newest == faster[0]  # one seed each: the more accurate rate


def test_published_figures_are_on_no_axis_of_measured_ones() -> None:
    models = [SMALL, BASELINE, "efficientnet_b0", "saevit_claim_0.8g"]
    found = compared(TRIALS, *models)
    panel = fill_panel(found, "gmacs", "top1")
    heights = {point.candidate.model: point.y for point in panel.points}
    assert set(heights) == {c.model for c in found.candidates[:2]}
    assert "ImageNet" not in panel.y_label
    assert "ImageNet" not in write_caption(found, [panel])


def test_the_front_says_which_points_are_not_resolved_from_it() -> None:
    found = compared(TRIALS, LARGE, SMALL)
    (panel,) = list_panels(found, ["gmacs"], "top1")
    assert [point.kind for point in panel.points] == ["near_variant", "front_variant"]
    assert "Not resolved from the front by MACs: " in write_caption(found, [panel])
    beaten = [evaluated(LARGE, 200, trained(seed=seed)) for seed in (0, 1, 2)]
    found = compared([*beaten, *(one for one in TRIALS if one.model.startswith(SMALL))], LARGE, SMALL)
    (panel,) = list_panels(found, ["gmacs"], "top1")
    assert next(point.kind for point in panel.points) == "measured_variant"


def test_a_stored_run_has_the_accuracies_of_its_own_networks() -> None:
    old = top1(SMALL, 198, version="0.1.0")
    on = choose_accuracies("digits", [old, top1(LARGE, 7)], definition=1)
    assert on.newest == (old,)
    assert on.find(LARGE) is None


def test_measured_accuracies_replace_published_ones_together() -> None:
    models = resolve_models([SMALL, LARGE, BASELINE, "saevit_claim_0.8g"])
    found = compare(models, img_size=(64, 64), measured=choose_accuracies("digits", MEASURED))
    small, large, baseline, claim = found.candidates
    assert small.accuracy is not None
    assert baseline.accuracy is not None
    assert large.accuracy is claim.accuracy is None
    assert small.accuracy.top1 == pytest.approx(100 * 120 / 199)
    assert small.accuracy.mark == baseline.accuracy.mark == "measured here"
    assert small.accuracy.interval == tuple(100 * end for end in Share(hits=120, total=199).interval)
    assert find_front(found.candidates, "gmacs", "top1").keys() == {small.model, baseline.model}
    view = view_comparison(found, "top1")
    (table,) = view.tables
    (row,) = [row for row in table.rows if BASELINE in row[0] or "mobilenetv3" in row[0]]
    assert "75.4  [68.9, 80.8]" in row  # Wilson's interval of 150 of 199 images
    assert any("measured here on digits (validation)" in note for note in view.notes)
    notes = " ".join(table.notes)
    assert "SHA-256 abababababab" in notes
    assert f"not measured on digits (validation): {large.model}, saevit_claim_0.8g" in notes
    row = next(csv.DictReader(io.StringIO(write_comparison_csv(found))))
    assert (row["top1_mark"], row["top1_measured_on"], row["top1_images"]) == (
        "measured here",
        "digits (validation)",
        "199",
    )
    assert json.loads(write_comparison_json(found))["top1_on"] == "digits (validation)"


def test_other_images_and_other_sizes_stand_apart() -> None:
    fewer = [top1(LARGE, 50, total=99), *MEASURED]
    found = compare([SMALL, LARGE], img_size=(64, 64), measured=choose_accuracies("digits", fewer))
    small, large = (c.accuracy for c in found.candidates)
    assert small is not None
    assert large is not None
    assert (small.plain, large.plain, large.mark) == (True, False, "measured here, other images")
    found = compare([SMALL], img_size=(96, 96), measured=choose_accuracies("digits", MEASURED))
    assert found.candidates[0].accuracy is not None
    assert not found.candidates[0].accuracy.plain


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a" * 64, "b" * 64, "fingerprint aaaaaaaaaaaa and bbbbbbbbbbbb, 200 and 200 images"),
        ("", "b" * 64, "fingerprint none and bbbbbbbbbbbb"),
        ("a" * 64, "", "fingerprint aaaaaaaaaaaa and none"),
    ],
)
def test_data_that_changed_between_evaluations_are_said(before: str, after: str, said: str) -> None:
    """As when two folders of classes are swapped: the path and the number of images stay."""
    found = [top1(LARGE, 50, fingerprint=before), top1(SMALL, 60, fingerprint=after)]
    seen = compare([SMALL, LARGE], img_size=(64, 64), measured=choose_accuracies("digits", found))
    small, large = (c.accuracy for c in seen.candidates)
    assert small is not None
    assert large is not None
    assert (small.mark, large.mark) == ("measured here", "measured here, other images")
    assert (small.plain, large.plain) == (True, False)
    (line,) = [note for note in tabulate_comparison(seen, "top1").notes if "not the data of" in note]
    assert line.startswith(f"{seen.candidates[1].model}: ")
    assert f"not the data of {SMALL}" in line
    assert said in line
    same = compare(
        [SMALL, LARGE],
        img_size=(64, 64),
        measured=choose_accuracies("digits", [replace(one, fingerprint="c") for one in found]),
    )
    assert [c.accuracy.mark for c in same.candidates if c.accuracy] == ["measured here"] * 2


def test_published_ones_stay_unless_asked_for() -> None:
    found = add_hints(compare([SMALL, BASELINE], img_size=(64, 64)), MEASURED)
    small, baseline = found.candidates
    assert small.accuracy is None
    assert baseline.accuracy is not None
    assert baseline.accuracy.mark == "published"
    assert found.also_measured == ("digits (validation), 2 of these models: --top1 digits",)
    assert any("--top1 digits" in note for note in tabulate_comparison(found, None).notes)


def test_a_stored_run_shows_the_same_again(tmp_path: Path) -> None:
    for number, (model, seed) in enumerate(product((SMALL + ",classes=10", BASELINE), (0, 1))):
        with Writer(tmp_path / "evals") as writer:
            flags = evaluated(model, 200 + 10 * number, trained(seed=seed)).hits
            made = replace(FOUND, model=model, data="digits", training=trained(seed=seed), hits=flags)
            keep_evaluation(replace(made, top1=Share(hits=sum(flags), total=IMAGES), unreadable=()), writer)
    measured = choose_accuracies("digits", list_top1s(tmp_path / "evals"))
    plan = TimingOptions(batch_sizes=(1,), rounds=6, min_time=0.002, threads=1, device="cpu")
    models = resolve_models([SMALL, BASELINE, "saevit_claim_0.8g"])
    with Writer(tmp_path) as writer:
        found = compare(models, img_size=(64, 64), timing=plan, writer=writer, measured=measured)
    run = read_run(writer.path)
    then = accuracies_of(run)
    assert then is not None
    assert write_comparison_json(comparison_of(run, measured=then)) == write_comparison_json(found)
    assert found.difference(found.candidates[1]) == comparison_of(run, measured=then).difference(
        found.candidates[1]
    )
    published = comparison_of(run)
    assert [c.accuracy.mark if c.accuracy else None for c in published.candidates] == [
        None,
        "published",
        "paper claim, not reproduced here",
    ]
    stored = next((tmp_path / "evals").iterdir())
    with pytest.raises(OptionError, match="is an evaluation and has no times"):
        comparison_of(read_run(stored))


def test_the_number_of_classes_is_that_of_the_data() -> None:
    newest_has_no_classes_in_its_text = [top1(SMALL + ",classes=10", 100), top1(BASELINE, 150)]
    assert choose_accuracies("digits", newest_has_no_classes_in_its_text).num_classes == 10
    of_old_files = [replace(one, num_classes=None) for one in newest_has_no_classes_in_its_text]
    assert choose_accuracies("digits", of_old_files).num_classes == 10
    assert choose_accuracies("digits", of_old_files[1:]).num_classes is None
