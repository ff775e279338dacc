"""Numbers as tables, JSON, CSV and arrays."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from saevit.attention.findings import METRICS, Attention, HeadNumbers
from saevit.report.views.attention import attention_csv, attention_json, attention_tables, save_arrays


def of_images(numbers: HeadNumbers, factor: float) -> HeadNumbers:
    """As if a second image had given other values."""
    return replace(numbers, samples={n: (v[0], v[0] * factor) for n, v in numbers.samples.items()})


def test_table_has_a_row_a_head(attention: Attention) -> None:
    heads, alike = attention_tables(attention)
    assert len(heads.rows) == sum(len(block.heads) for block in attention.maps)
    row = dict(zip([column.heading for column in heads.columns], heads.rows[0], strict=True))
    numbers = attention.numbers[0]
    assert (row["N"], row["n"], row["r"], row["sparsity"]) == ("324", "9", "8", "99.92 %")
    assert row["entropy"] == f"{100 * numbers.mean('attention_entropy') / math.log(9):.1f} %"
    assert row["support"] == f"{100 * numbers.mean('support') / 324:.1f} %"
    assert len(alike.rows) == 4
    assert any("--rates" in note or "no sampling is suggested" in note for note in alike.notes)


def test_several_images_show_their_spread(attention: Attention) -> None:
    many = replace(attention, images=("a", "b"), numbers=tuple(of_images(n, 1.5) for n in attention.numbers))
    (heads, _) = attention_tables(many)
    assert "2 images, mean +- standard deviation" in heads.title
    column = [column.heading for column in heads.columns].index("distance px")
    mean = attention.numbers[0].mean("distance")
    assert heads.rows[0][column] == f"{1.25 * mean:.1f} +- {mean * 0.5 / 2**0.5:.1f}"


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
    one = replace(attention.numbers[0], samples=attention.numbers[0].samples | {"overlap": (math.nan,)})
    entry = json.loads(attention_json([replace(attention, numbers=(one,))]))["networks"][0]
    assert entry["heads"][0]["overlap"] == [None]
    (heads, _) = attention_tables(replace(attention, numbers=(one,)))
    assert "overlap" not in [column.heading for column in heads.columns]


def test_suggested_rates(attention: Attention) -> None:
    found = tuple(
        replace(one, suggested=s) for one, s in zip(attention.redundancy, (8, 4, 2, 1), strict=True)
    )
    suggesting = replace(attention, redundancy=found)
    assert suggesting.suggested_rates == "8,4,2,1"
    assert "to try the suggested rates: --rates 8,4,2,1 (from random weights" in " ".join(
        attention_tables(suggesting)[1].notes
    )
    assert replace(attention, redundancy=found[:2]).suggested_rates is None


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
