"""The published table: what it holds, what it refuses, and whether timm's networks still agree with it."""

import csv
import io
import re
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, fields, replace
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.baselines import birder_models
from saevit.baselines.published import TABLE, Published, find_row, load_rows
from saevit.decode import decode
from saevit.profiling import profile

TEXT = resources.files("saevit.baselines").joinpath(TABLE).read_text(encoding="utf-8")
TIMM_ROWS = [row for row in load_rows() if row.timm_name]
QUICK = (  # families, sizes and tags apart, four of them re-parameterised; the others are slow
    "deit_tiny_patch16_224.fb_in1k",
    "edgenext_xx_small.in1k",
    "efficientvit_b0.r224_in1k",
    "efficientvit_m0.r224_in1k",
    "fasternet_t0.in1k",
    "ghostnetv3_100.in1k",
    "lcnet_050.ra2_in1k",
    "lcnetv2_base.paddle_in1k",
    "levit_128s.fb_dist_in1k",
    "mobilenetv3_small_100.lamb_in1k",
    "mobileone_s0.apple_in1k",
    "mobilevitv2_050.cvnets_in1k",
    "pit_ti_224.in1k",
    "repghostnet_100.in1k",
    "tiny_vit_5m_224.dist_in22k_ft_in1k",
)


def row_of(text: str) -> Published:
    """The row that must be there."""
    row = find_row(text)
    assert row is not None
    return row


def test_rows_of_each_tier() -> None:
    assert Counter(row.tier for row in load_rows()) == {
        "core": 62,
        "extended": 83,
        "relative": 25,
        "claim": 2,
    }
    relatives = [row for row in load_rows() if row.tier == "relative"]
    assert Counter(row.counted_with is not None for row in relatives) == {True: 15, False: 10}


def test_a_row_as_it_stands() -> None:
    assert row_of("mobilenetv3_small_100.lamb_in1k") == Published(
        model_id="mobilenetv3_small_100.lamb_in1k",
        family="MobileNetV3",
        arch_type="conv",
        year=2019,
        arxiv_id="1905.02244",
        tier="extended",
        img_size=224,
        top1=67.636,
        top5=87.638,
        top1_source="timm results-imagenet.csv@aa4b5850",
        distilled="no",
        extra_data="none",
        train_note="timm re-trained weights (LAMB recipe)",
        params_m=2.543,
        gmacs=0.0565,
        params_m_reparam=2.543,
        gmacs_reparam=0.0565,
        reparam_matters=False,
        paper_top1=67.5,
        paper_params_m=2.9,
        paper_gmacs=0.066,
        paper_img_size=224,
        paper_source='tensorflow/models slim mobilenet README table ("Small dm=1 (float)"); '
        "same 2.9 M / 66 M quoted in arXiv:2403.19967 Table 6",
        weights_license="apache-2.0",
    )


@pytest.mark.parametrize(("model_id", "top1", "gmacs"), [("0.8g", 76.3, 0.8), ("1.3g", 79.6, 1.3)])
def test_claims_are_claims(model_id: str, top1: float, gmacs: float) -> None:
    claim = row_of(f"saevit_claim_{model_id}")
    assert (claim.top1, claim.top5, claim.paper_gmacs) == (top1, None, gmacs)
    assert claim.mark == "paper claim, not reproduced here"
    assert {claim.timm_name, claim.counted_with, claim.gmacs, claim.img_size} == {None}
    assert claim.plotted == (None, gmacs, "published")


def test_reparam_matters_is_one_per_cent() -> None:
    for row in TIMM_ROWS:
        pairs = ((row.params_m, row.params_m_reparam), (row.gmacs, row.gmacs_reparam))
        change = max(1 - after / before for before, after in pairs if before and after)
        assert row.reparam_matters == (change > 0.01), row.model_id


@pytest.mark.parametrize(
    ("text", "plotted", "counted_with"),
    [
        ("resnet18.a1_in1k", (11.690, 1.8141, "counted"), "timm 1.0.31, torch 2.15.0 FlopCounterMode"),
        (
            "mobileone_s0",
            (2.079, 0.2751, "counted, re-parameterised"),
            "timm 1.0.31, torch 2.15.0 FlopCounterMode",
        ),
        ("edgevit_xs", (6.769, 1.1278, "counted"), "birder 0.8.4, torch 2.15.0 FlopCounterMode"),
        ("lightvit_t", (9.4, 0.7, "published"), None),
    ],
)
def test_plotted(text: str, plotted: tuple[float, float, str], counted_with: str | None) -> None:
    assert row_of(text).plotted == plotted
    assert row_of(text).counted_with == counted_with


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("resnet18", "published"),
        ("levit_128s", "published, distilled"),
        ("tiny_vit_5m_224.dist_in22k_ft_in1k", "published, distilled, extra data"),
        ("ghostnetv3_100", "published, distilled"),  # its extra data: none stated
    ],
)
def test_mark(text: str, mark: str) -> None:
    assert row_of(text).mark == mark


@pytest.mark.parametrize(
    ("text", "model_id"),
    [
        ("mobilenetv4_conv_small", "mobilenetv4_conv_small.e2400_r224_in1k"),
        ("mobilenetv4_conv_small.e2400_r224_in1k", "mobilenetv4_conv_small.e2400_r224_in1k"),
        ("timm:mobilenetv4_conv_small", "mobilenetv4_conv_small.e2400_r224_in1k"),
        ("tiny_vit_5m_224", "tiny_vit_5m_224.in1k"),  # two tags, one of them core
        ("resnet50", "resnet50.a1_in1k"),
        ("edgevit_xs", "edgevit_xs"),
        ("timm:edgevit_xs", None),
        ("birder:edgevit_xs", "edgevit_xs"),
        ("birder:pvt_v1_t", "pvt_tiny"),
        ("birder:microvit_v1_s3", "microvit_s3"),
        ("birder:pvt_tiny", None),  # birder's names alone
        ("birder:lightvit_t", None),  # it has none
        ("birder:mobileone_s0", None),  # the accuracy is of timm's network
        ("birder:saevit_claim_0.8g", None),
        ("birder:", None),
        ("mobilenetv4_conv_small.e1200_r224_in1k", None),  # other weights have another accuracy
        ("saevit_claim_0", None),
        ("saevit_tiny", None),
        ("", None),
    ],
)
def test_find(text: str, model_id: str | None) -> None:
    row = find_row(text)
    assert (row.model_id if row else None) == model_id


@given(st.sampled_from(load_rows()))
def test_every_row_is_found(row: Published) -> None:
    assert find_row(row.model_id) is row
    assert find_row(row.subject) is row
    assert (row.timm_name is None) == (row.tier in ("relative", "claim"))
    assert (row.birder_name is not None) == (row.tier == "relative" and row.counted_with is not None)


@pytest.mark.parametrize("is_installed", [True, False])
def test_what_birder_has_is_built_where_it_is_installed(
    is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(birder_models, "is_installed", lambda: is_installed)
    built = [row for row in load_rows() if row.subject.startswith("birder:")]
    assert len(built) == (15 if is_installed else 0)
    assert all(find_row(row.subject) is row for row in load_rows())
    assert all(row.subject == row.model_id for row in load_rows() if not row.timm_name and row not in built)


def test_every_figure_has_its_source() -> None:
    for row in load_rows():
        assert row.top1 is None or row.top1_source
        assert {row.paper_top1, row.paper_params_m, row.paper_gmacs} == {None} or row.paper_source
        assert row.gmacs is None or row.counted_with


def problems_of(row: Published) -> list[str]:
    """The columns of a row that break a rule."""
    counts = (row.params_m, row.gmacs)
    folded = (row.params_m_reparam, row.gmacs_reparam, row.reparam_matters)
    percents = {"top1": row.top1, "top5": row.top5, "paper_top1": row.paper_top1}
    sizes = {"img_size": row.img_size, "paper_img_size": row.paper_img_size}
    paper = {row.paper_top1, row.paper_params_m, row.paper_gmacs}
    costs = (*counts, *folded[:2], row.paper_params_m, row.paper_gmacs)
    ending = r"\.[a-z0-9_]+" if row.timm_name else r"(\.[a-z0-9_]+)?"
    texts = [value for value in asdict(row).values() if isinstance(value, str)]
    rules = {
        "model_id": re.fullmatch(rf"[a-z0-9_]+{ending}", row.model_id),
        "year": 2012 <= row.year <= 2100,
        "arxiv_id": row.arxiv_id is None or re.fullmatch(r"\d{4}\.\d{4,5}", row.arxiv_id),
        "costs": all(cost is None or 0.001 <= cost <= 1000 for cost in costs),
        "text": all(text == text.strip() and text for text in texts),
        "top1_source": row.top1 is None or row.top1_source,
        "paper_source": paper == {None} or row.paper_source,
        "gmacs": (counts[0] is None) == (counts[1] is None) and (row.tier != "claim" or counts[1] is None),
        "gmacs_reparam": None not in (*counts, *folded) if row.timm_name else set(folded) == {None},
        "no size": row.img_size is not None or row.tier == "claim",
        "top5 below top1": row.top5 is None or (row.top1 is not None and row.top5 >= row.top1),
        **{name: value is None or 0.1 <= value <= 100 for name, value in percents.items()},
        **{name: value is None or 32 <= value <= 1024 for name, value in sizes.items()},
    }
    return [name for name, is_kept in rules.items() if not is_kept]


def test_every_row_keeps_the_rules() -> None:
    header = next(csv.reader(io.StringIO(TEXT)))
    assert [name.lower() for name in header] == [field.name for field in fields(Published)]
    assert all(len(cells) == len(header) for cells in csv.reader(io.StringIO(TEXT), strict=True))
    assert len({row.model_id for row in load_rows()}) == len(load_rows())
    for row in load_rows():
        assert decode(Published, asdict(row)) == row  # exact types, and each literal is one of its choices
        assert problems_of(row) == [], row.model_id
    flags = [cells["reparam_matters"] for cells in csv.DictReader(io.StringIO(TEXT))]
    assert set(flags) == {"yes", "no", ""}


@pytest.mark.parametrize(
    ("model_id", "change", "problems"),
    [
        ("moganet_xt", {"top1": 176.0}, ["top5 below top1", "top1"]),
        ("moganet_xt", {"gmacs": None}, ["gmacs"]),
        ("moganet_xt", {"gmacs_reparam": 0.7}, ["gmacs_reparam"]),
        ("moganet_xt", {"img_size": None}, ["no size"]),
        ("moganet_xt", {"arxiv_id": "x"}, ["arxiv_id"]),
        ("moganet_xt", {"tier": "core"}, ["model_id", "gmacs_reparam"]),
        ("moganet_xt", {"top1_source": None}, ["top1_source"]),
        ("moganet_xt", {"paper_source": None}, ["paper_source"]),
        ("moganet_xt", {"family": " MogaNet"}, ["text"]),
        ("ghostnet_100.in1k", {"top5": 50.0}, ["top5 below top1"]),
        ("ghostnet_100.in1k", {"gmacs_reparam": None}, ["gmacs_reparam"]),
        ("saevit_claim_0.8g", {"gmacs": 0.8, "params_m": 1.0}, ["gmacs"]),
    ],
)
def test_the_rules_find_broken_rows(model_id: str, change: dict[str, Any], problems: list[str]) -> None:
    assert problems_of(replace(row_of(model_id), **change)) == problems


@pytest.mark.parametrize("module", ["published", "groups", "adapters"])
def test_reading_loads_no_framework(module: str) -> None:
    code = (
        f"import sys; from saevit.baselines import {module}, published; "
        "[row.subject for row in published.load_rows()]; "
        "sys.exit(bool({'torch', 'timm', 'birder', 'pandas', 'numpy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def _timm() -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError, reason="torchvision does not match this torch")


@pytest.mark.usefixtures("_timm")
def test_timm_knows_every_name_and_tag() -> None:
    import timm

    assert {row.timm_name for row in TIMM_ROWS} <= set(timm.list_pretrained())


@pytest.mark.usefixtures("_timm")
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.model_id, marks=[] if row.model_id in QUICK else pytest.mark.slow)
        for row in TIMM_ROWS
    ],
)
def test_counts_are_those_of_the_network_built_here(row: Published) -> None:
    assert row.img_size
    found = profile(row.subject, img_size=(row.img_size, row.img_size), counters=["torch"])
    assert round(found.params / 1e6, 3) == row.params_m_reparam
    assert round(found.macs / 1e9, 4) == row.gmacs_reparam
