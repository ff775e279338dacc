"""The published table: what it holds, what it refuses, and whether timm's networks still agree with it."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.baselines import birder_models
from saevit.baselines.published import READERS, TABLE, Published, TableError, find, load, read
from saevit.errors import SaevitError
from saevit.profile import profile

TEXT = resources.files("saevit.baselines").joinpath(TABLE).read_text(encoding="utf-8")
TIMM_ROWS = [row for row in load() if row.timm_name]
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
    row = find(text)
    assert row is not None
    return row


def with_cell(model_id: str, column: str, cell: str) -> str:
    """The table with one plain cell of one row replaced."""
    lines = TEXT.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{model_id},"))
    cells = lines[at].split(",")
    assert len(cells) == len(READERS), "choose a row without quoted cells"
    cells[list(READERS).index(column)] = cell
    return "\n".join([*lines[:at], ",".join(cells), *lines[at + 1 :]])


def test_rows_of_each_tier() -> None:
    assert Counter(row.tier for row in load()) == {"core": 62, "extended": 83, "relative": 25, "claim": 2}
    relatives = [row for row in load() if row.tier == "relative"]
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
    row = find(text)
    assert (row.model_id if row else None) == model_id


@given(st.sampled_from(load()))
def test_every_row_is_found(row: Published) -> None:
    assert find(row.model_id) is row
    assert find(row.subject) is row
    assert (row.timm_name is None) == (row.tier in ("relative", "claim"))
    assert (row.birder_name is not None) == (row.tier == "relative" and row.counted_with is not None)


@pytest.mark.parametrize("is_installed", [True, False])
def test_what_birder_has_is_built_where_it_is_installed(
    is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(birder_models, "is_installed", lambda: is_installed)
    built = [row for row in load() if row.subject.startswith("birder:")]
    assert len(built) == (15 if is_installed else 0)
    assert all(find(row.subject) is row for row in load())
    assert all(row.subject == row.model_id for row in load() if not row.timm_name and row not in built)


def test_every_figure_has_its_source() -> None:
    for row in load():
        assert row.top1 is None or row.top1_source
        assert {row.paper_top1, row.paper_params_m, row.paper_gmacs} == {None} or row.paper_source
        assert row.gmacs is None or row.counted_with


@pytest.mark.parametrize(
    ("model_id", "column", "cell", "message"),
    [
        ("moganet_xt", "top1", "176", "top1: '176' is not a number from 0.1 to 100"),
        ("moganet_xt", "top1", "nan", "top1: 'nan' is not a number"),
        ("moganet_xt", "gmacs", "-0.8", "gmacs: '-0.8' is not a number"),
        ("moganet_xt", "gmacs", "0", "gmacs: '0' is not a number from 0.001 to 1000"),
        ("moganet_xt", "gmacs", "", "gmacs: parameters and MACs are counted together"),
        ("moganet_xt", "gmacs_reparam", "0.7", "gmacs_reparam: only timm models are re-parameterised"),
        ("moganet_xt", "img_size", "224.0", "img_size: '224.0' is not a whole number from 32 to 1024"),
        ("moganet_xt", "img_size", "", "img_size: an accuracy has the size it was taken at"),
        ("moganet_xt", "year", "", "year: is blank"),
        ("moganet_xt", "arxiv_id", "x", "arxiv_id: 'x' has not the form"),
        ("moganet_xt", "tier", "relativ", "tier: 'relativ' is not one of core, extended, relative, claim"),
        ("moganet_xt", "tier", "core", "model_id: a timm model is named with its tag"),
        ("moganet_xt", "arch_type", "", "arch_type: '' is not one of conv"),
        ("moganet_xt", "distilled", "maybe", "distilled: 'maybe' is not one of yes, no"),
        ("moganet_xt", "extra_data", "JFT", "extra_data: 'JFT' is not one of none"),
        ("moganet_xt", "top1_source", "", "top1_source: a figure has its source"),
        ("moganet_xt", "paper_source", "", "paper_source: a figure has its source"),
        ("moganet_xt", "family", " MogaNet", "family: ' MogaNet' has not the form"),
        ("moganet_xt", "reparam_matters", "true", "reparam_matters: 'true' is neither yes nor no"),
        ("ghostnet_100.in1k", "top5", "50", "top5: is at least top1"),
        ("ghostnet_100.in1k", "gmacs_reparam", "", "gmacs_reparam: a timm model is counted"),
        ("saevit_claim_0.8g", "tier", "relative", "img_size: an accuracy has the size"),
    ],
)
def test_refuses_a_broken_cell(model_id: str, column: str, cell: str, message: str) -> None:
    with pytest.raises(TableError, match=re.escape(f"({model_id}), {message}")) as raised:
        read(with_cell(model_id, column, cell))
    assert isinstance(raised.value, SaevitError)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text + text.splitlines()[-1], "line 174 (microvit_s3), model_id: stands twice"),
        (lambda text: text + "moganet_xxt,MogaNet\n", "line 174 (moganet_xxt): 2 cells for 24 columns"),
        (lambda text: text + "\n", "line 174 (no model_id): 0 cells for 24 columns"),
        (lambda text: text.replace("top5", "top10", 1), "line 1: the columns are not those expected (top10"),
        (lambda text: text.replace("top1,top5", "top5,top1", 1), "not those expected (their order)"),
        (lambda text: text + '"open', "published.csv: unexpected end of data"),
        (lambda text: "", "line 1: the columns are not those expected"),
    ],
)
def test_refuses_a_broken_table(change: Callable[[str], str], message: str) -> None:
    with pytest.raises(TableError, match=re.escape(message)):
        read(change(TEXT))


@pytest.mark.parametrize("module", ["published", "groups", "adapters"])
def test_reading_loads_no_framework(module: str) -> None:
    code = (
        f"import sys; from saevit.baselines import {module}, published; "
        "[row.subject for row in published.load()]; "
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
