"""Accuracies measured here beside costs: never of two datasets at once, never in a published one's row."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

import saevit
from saevit.comparing.accuracies import MeasuredOn, accuracies_of, add_hints, choose_accuracies, network_key
from saevit.comparing.compare import compare, comparison_of, resolve_models
from saevit.errors import OptionError
from saevit.measure.timing import TimingOptions
from saevit.provenance import Training
from saevit.report.metrics import find_front
from saevit.report.views.compare import (
    tabulate_comparison,
    view_comparison,
    write_comparison_csv,
    write_comparison_json,
)
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
    with pytest.raises(OptionError, match=f"--top1 {text}: nothing was measured on"):
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
    note = f"evaluations of {LARGE} on digits (validation) are left out: they were made with another version"
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
    on = choose_accuracies("digits", found, terms="equal")
    small = on.find(SMALL)
    assert small is not None
    assert (small.newest.share.hits, small.is_otherwise) == (100, False)
    assert [group.is_otherwise for group in on.groups] == [True, True, False]


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
    for model in (SMALL + ",classes=10", BASELINE):
        with Writer(tmp_path / "evals") as writer:
            keep_evaluation(replace(FOUND, model=model, data="digits"), writer)
    measured = choose_accuracies("digits", list_top1s(tmp_path / "evals"))
    plan = TimingOptions(batch_sizes=(1,), rounds=6, min_time=0.002, threads=1, device="cpu")
    models = resolve_models([SMALL, BASELINE, "saevit_claim_0.8g"])
    with Writer(tmp_path) as writer:
        found = compare(models, img_size=(64, 64), timing=plan, writer=writer, measured=measured)
    run = read_run(writer.path)
    then = accuracies_of(run)
    assert then is not None
    assert write_comparison_json(comparison_of(run, measured=then)) == write_comparison_json(found)
    published = comparison_of(run)
    assert [c.accuracy.mark if c.accuracy else None for c in published.candidates] == [
        None,
        "published",
        "paper claim, not reproduced here",
    ]
    evaluated = next((tmp_path / "evals").iterdir())
    with pytest.raises(OptionError, match="is an evaluation and has no times"):
        comparison_of(read_run(evaluated))
