"""Numbers as a view, JSON, CSV and arrays."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from saevit.attention.findings import METRICS, Attention, HeadNumbers, NumbersBy
from saevit.report.views.attention import attention_csv, attention_json, save_arrays, view_attention


def of_images(numbers: HeadNumbers, factor: float) -> HeadNumbers:
    """As if a second image had given other values."""
    return replace(numbers, samples={n: (v[0], v[0] * factor) for n, v in numbers.samples.items()})


def rows_by(attention: Attention, by: NumbersBy) -> list[dict[str, str]]:
    """The rows of the table, by the heads of its columns."""
    (table,) = view_attention([attention], "overview", by).tables
    heads = [column.heading for column in table.columns]
    return [dict(zip(heads, row, strict=True)) for row in table.rows]


def test_table_has_a_row_per_stage_with_median_and_range(attention: Attention) -> None:
    rows = rows_by(attention, "stage")
    assert [row["stage"] for row in rows] == ["1", "2", "3", "4"]
    assert (rows[0]["pixels"], rows[0]["r"], rows[0]["tokens"]) == ("18 x 18", "8", "9")
    assert rows[0]["sparsity"] == "99.92 %"
    of_stage = [one.mean("support") / 9 for one in attention.numbers if one.block.stage == 4]
    middle, low, high = (100 * one for one in (median(of_stage), min(of_stage), max(of_stage)))
    assert rows[3]["support"] == f"{middle:.1f} % ({low:.1f}-{high:.1f})"
    view = view_attention([attention], "overview", "stage")
    assert view.result.startswith("Random weights: the maps carry no meaning.")
    assert "`saevit train` trains it, and --checkpoint FILE shows" in view.warnings[0]
    assert view.notes[0].startswith("Median (range) over blocks and heads. ")
    assert any(
        note.startswith("similarity of pixels in r x r windows, stage 1") for note in view.tables[0].notes
    )


def test_rows_per_block_and_per_head_have_every_metric(attention: Attention) -> None:
    blocks, heads = rows_by(attention, "block"), rows_by(attention, "head")
    assert len(blocks) == len(attention.maps)
    assert len(heads) == len(attention.numbers)
    numbers = attention.numbers[0]
    assert heads[0]["entropy"] == f"{100 * numbers.mean('attention_entropy') / math.log(9):.1f} %"
    assert {"window entropy", "top 1 %", "top 5 %", "top 10 %", "overlap"} < set(heads[0])
    of_second = [one for one in attention.numbers if (one.block.stage, one.block.number) == (4, 2)]
    low, high = (100 * end(one.mean("top_10") for one in of_second) for end in (min, max))
    row = next(row for row in blocks if (row["stage"], row["block"]) == ("4", "2"))
    assert row["top 10 %"].endswith(f"({low:.1f}-{high:.1f})")


def test_ranges_cover_several_images(attention: Attention) -> None:
    many = replace(attention, images=("a", "b"), numbers=tuple(of_images(n, 1.5) for n in attention.numbers))
    view = view_attention([many], "overview", "head")
    assert view.tables[0].title.endswith("2 images")
    assert view.notes[0].startswith("Median (range) over images. ")
    mean = attention.numbers[0].mean("distance")
    assert rows_by(many, "head")[0]["distance"] == f"{1.25 * mean:.0f} ({mean:.0f}-{1.5 * mean:.0f})"


def test_blocks_that_are_not_shown_are_a_warning(attention: Attention) -> None:
    partial = replace(attention, model="net", is_random=False, left_out=("stages.1.attn (causal attention)",))
    assert view_attention([partial], "overview", "stage").warnings == (
        "net is shown without stages.1.attn (causal attention)",
    )
    notes = json.loads(attention_json([partial]))["networks"][0]["notes"]
    assert notes == ["left out: stages.1.attn (causal attention)"]


def test_json_and_csv_are_unrounded(attention: Attention) -> None:
    data = json.loads(attention_json([attention, attention]))
    assert len(data["networks"]) == 2
    entry = data["networks"][0]
    assert entry["infer_img_size"] == 72
    assert entry["random_weights"] is True
    rows = list(csv.DictReader(io.StringIO(attention_csv([attention]))))
    assert len(rows) == len(entry["heads"]) == len(attention.numbers)
    for row, head, numbers in zip(rows, entry["heads"], attention.numbers, strict=True):
        assert head["path"] == row["path"] == numbers.block.path
        for name in METRICS:
            value = numbers.samples[name][0]
            expected = None if math.isnan(value) else value
            assert head[name] == [expected]
            assert row[name] == ("" if expected is None else repr(expected))


def test_a_single_head_overlaps_with_nothing(attention: Attention) -> None:
    one = replace(attention.numbers[0], samples=dict(attention.numbers[0].samples) | {"overlap": (math.nan,)})
    entry = json.loads(attention_json([replace(attention, numbers=(one,))]))["networks"][0]
    assert entry["heads"][0]["overlap"] == [None]
    assert "overlap" not in rows_by(replace(attention, numbers=(one,)), "head")[0]


def test_suggested_rates(attention: Attention) -> None:
    found = tuple(
        replace(one, suggested=s) for one, s in zip(attention.redundancy, (8, 4, 2, 1), strict=True)
    )
    suggesting = replace(attention, redundancy=found)
    assert suggesting.suggested_rates == "8,4,2,1"
    *_, note = view_attention([suggesting], "overview", "stage").notes
    assert note.startswith("Redundancy suggests --rates 8,4,2,1: up to these r,")
    assert note.endswith("is at least 0.9 (--similarity). With random weights, it depends on the image only.")
    *_, note = view_attention([replace(suggesting, redundancy=found[1:3])], "overview", "stage").notes
    assert note.startswith("Redundancy suggests r = 4 in stage 2 and r = 2 in stage 3:")
    none = tuple(replace(one, suggested=1) for one in found)
    *_, note = view_attention([replace(attention, redundancy=none)], "overview", "stage").notes
    assert note.startswith("Redundancy suggests no sampling:")


def test_arrays(attention: Attention, tmp_path: Path) -> None:
    save_arrays([attention], tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as found:
        assert found["image"].shape == (72, 72, 3)
        for block in attention.maps:
            at = f"stage{block.block.stage}.block{block.block.number}."
            n = block.block.tokens
            assert found[at + "attention"].shape == (1, len(block.heads), n, n)
            np.testing.assert_allclose(found[at + "rows"].sum((2, 3)), 1, rtol=1e-4)
            np.testing.assert_allclose(found[at + "received"].sum((1, 2)), 1, rtol=1e-4)
            assert found[at + "window_weights"].sum() == pytest.approx(n, rel=1e-4)
