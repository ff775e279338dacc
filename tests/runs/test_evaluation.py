"""An evaluation goes into a run's file and comes back."""

from dataclasses import replace
from pathlib import Path

import pytest

from saevit.runs.evaluation import (
    ClassResult,
    Evaluation,
    keep_evaluation,
    list_top1s,
    records_of,
)
from saevit.runs.record import Record
from saevit.runs.run import read_top1
from saevit.runs.statistics import Share
from saevit.runs.store import Writer, find_run, list_runs, read_run
from tests.report.conftest import CONDITIONS, ENVIRONMENT

FOUND = Evaluation(
    model="saevit_pico:classes=10",
    checkpoint="best of=all.safetensors",
    sha256="ab" * 32,
    form="run in the folded form",
    data="/data/a=b",
    fingerprint="cd" * 32,
    split="validation",
    statement="a=b: 200 images",
    unreadable=("/data/a=b/x.png is broken",),
    left_out=(),
    top1=Share(hits=150, total=199),
    top5=Share(hits=190, total=199),
    loss=0.8,
    calibration_error=0.05,
    classes=(
        ClassResult(name="a", share=Share(hits=90, total=100)),
        ClassResult(name="b", share=Share(hits=60, total=99)),
    ),
    num_classes=10,
    conditions=CONDITIONS,
    environment=ENVIRONMENT,
    started="2026-01-01T00:00:00+00:00",
    workers=0,
    alone=(100.0, 110.0, 120.0),
    with_reading=(50.0, 60.0, 70.0),
)


def test_a_record_says_of_what_it_is() -> None:
    top1 = records_of(FOUND)[0]
    assert (top1.source, top1.quantity, top1.unit) == ("measured", "top1", "%")
    assert top1.value == pytest.approx(100 * 150 / 199)
    assert "data=/data/a=b" in top1.notes
    assert any(note.startswith("interval=[68.9") for note in top1.notes)
    back = read_top1(Record.from_dict(top1.to_dict()))
    assert back is not None
    assert (back.data, back.split, back.share, back.unreadable) == ("/data/a=b", "validation", FOUND.top1, 1)
    assert (back.checkpoint, back.sha256) == (FOUND.checkpoint, FOUND.sha256)
    assert back.fingerprint == FOUND.fingerprint
    before = replace(FOUND, fingerprint="")  # as earlier versions wrote it
    old = read_top1(records_of(before)[0])
    assert old is not None
    assert old.fingerprint == ""


def test_only_an_evaluations_top1_is_one() -> None:
    records = records_of(FOUND)
    assert [read_top1(record) is not None for record in records] == [
        True,
        *[False] * (len(records) - 1),
    ]
    published = replace(records[0], source="published", environment=None)
    assert read_top1(published) is None
    assert read_top1(replace(records[0], notes=())) is None
    assert read_top1(replace(records[0], value=99.9)) is None  # not what its counts say
    for note in (
        "correct=x",
        "correct=-1",
        "images=0",
        "images=" + "9" * 400,
        "unreadable=1.5",
        "unreadable=-1",
    ):
        assert read_top1(replace(records[0], notes=(*records[0].notes, note))) is None


def test_the_store_keeps_and_finds_it(tmp_path: Path) -> None:
    for model in ("saevit_pico:classes=10", "timm:resnet18"):
        with Writer(tmp_path) as writer:
            keep_evaluation(replace(FOUND, model=model), writer)
    run = read_run(writer.path)
    assert run.is_evaluation
    assert run.ending == "finished"
    assert [summary.is_evaluation for summary in list_runs(tmp_path)] == [True, True]
    assert [one.model for one in list_top1s(tmp_path)] == ["saevit_pico:classes=10", "timm:resnet18"]
    (tmp_path / "broken.jsonl").write_text("{", encoding="utf-8")
    skipped: list[str] = []
    assert len(list_top1s(tmp_path, skipped.append)) == 2
    assert [line.startswith(f"skipped: {tmp_path / 'broken.jsonl'}, line 1") for line in skipped] == [True]
    assert list_top1s(tmp_path / "nowhere") == []


def test_latest_is_the_last_that_was_asked_for(tmp_path: Path) -> None:
    with Writer(tmp_path) as writer:
        keep_evaluation(FOUND, writer)
    assert find_run("latest", tmp_path) == writer.path
    with pytest.raises(Exception, match="no runs yet"):
        find_run("latest", tmp_path, timed=True)


def test_worst_first() -> None:
    assert [c.name for c in FOUND.worst] == ["b", "a"]
    assert (FOUND.throughput, FOUND.throughput_with_reading) == (110, 60)
