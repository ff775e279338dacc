"""Named groups and what one MODEL argument stands for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.baselines import birder_models, timm_models
from saevit.baselines.groups import GROUPS, expand_model, list_group
from saevit.baselines.published import Published, find_row, index_rows, load_rows
from saevit.errors import OptionError
from saevit.variant import PRESETS

CLASSES = {"class-0.8": (0.6, 1.0), "class-1.3": (0.975, 1.625)}


def rows_of(name: str) -> list[Published]:
    """The rows of a group."""
    return [row for row in load_rows() if row.model_id in list_group(name)]


@pytest.fixture
def _timm() -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError, reason="torchvision does not match this torch")


@pytest.mark.parametrize(
    ("name", "size"),
    [("core", 62), ("conv", 28), ("hybrid", 28), ("mobile", 16), ("class-0.8", 30), ("class-1.3", 37)],
)
def test_size(name: str, size: int) -> None:
    assert len(list_group(name)) == size


@pytest.mark.parametrize("name", GROUPS)
def test_sorted_unique_and_claims_nothing(name: str) -> None:
    assert list(list_group(name)) == sorted(set(list_group(name)))
    assert all(row.tier != "claim" for row in rows_of(name))
    assert GROUPS[name].rule


@given(st.sampled_from(load_rows()))
def test_rules(row: Published) -> None:
    inside = {name for name in GROUPS if row.model_id in list_group(name)}
    gmacs = row.plotted.gmacs
    assert gmacs is not None
    core = row.tier == "core"
    assert ("core" in inside) == core
    assert ("conv" in inside) == (core and row.arch_type.startswith("conv"))
    assert ("hybrid" in inside) == (core and "hybrid" in row.arch_type)
    assert ("mobile" in inside) == (core and gmacs < 0.6)
    for name, (low, high) in CLASSES.items():
        assert (name in inside) == (row.tier != "claim" and low <= gmacs <= high)


def test_conv_and_hybrid_leave_out_attention_and_pooling_alone() -> None:
    left = set(list_group("core")) - set(list_group("conv")) - set(list_group("hybrid"))
    assert {row.arch_type for row in load_rows() if row.model_id in left} == {"vit", "pooling"}


def test_the_core_can_be_built() -> None:
    assert all(subject.startswith("timm:") for subject in expand_model("core", PRESETS))


def test_unknown_group() -> None:
    with pytest.raises(OptionError, match=re.escape("'mobiles' is not a group: did you mean mobile?")):
        list_group("mobiles")


def test_names_do_not_collide() -> None:
    assert not GROUPS.keys() & index_rows().keys()
    assert not GROUPS.keys() & PRESETS.keys()
    assert not PRESETS.keys() & index_rows().keys()


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        ("saevit_tiny", ("saevit_tiny",)),
        (" saevit_small:width=0.5,ffn=mlp ", ("saevit_small:width=0.5,ffn=mlp",)),
        ("mobilenetv4_conv_small", ("timm:mobilenetv4_conv_small.e2400_r224_in1k",)),
        ("resnet18.tv_in1k", ("timm:resnet18.tv_in1k",)),
        ("tiny_vit_5m_224", ("timm:tiny_vit_5m_224.in1k",)),
        ("timm:resnet18", ("timm:resnet18",)),
        ("timm:resnet18.tv_in1k", ("timm:resnet18.tv_in1k",)),
        ("birder:edgevit_xs", ("birder:edgevit_xs",)),
        ("birder:pvt_v1_t", ("birder:pvt_v1_t",)),
        ("lightvit_t", ("lightvit_t",)),
        ("saevit_claim_0.8g", ("saevit_claim_0.8g",)),
    ],
)
def test_resolve_needs_no_library(
    text: str, subjects: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for adapter in (timm_models, birder_models):
        monkeypatch.delattr(adapter, "need")
    assert expand_model(text, PRESETS) == subjects


@pytest.mark.parametrize(
    ("text", "subject"), [("edgevit_xs", "birder:edgevit_xs"), ("microvit_s1", "birder:microvit_v1_s1")]
)
def test_a_relative_is_built_where_birder_is_installed(
    text: str, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_installed, found in ((False, text), (True, subject)):
        monkeypatch.setattr(birder_models, "is_installed", lambda answer=is_installed: answer)
        assert expand_model(text, PRESETS) == (found,)


@pytest.mark.parametrize("is_installed", [True, False])
@pytest.mark.parametrize("name", GROUPS)
def test_a_group_resolves_to_its_rows(name: str, is_installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birder_models, "is_installed", lambda: is_installed)
    subjects = expand_model(name, PRESETS)
    built = any(subject.startswith("birder:") for subject in subjects)
    assert built == (is_installed and name.startswith("class-"))
    assert [row.model_id for subject in subjects if (row := find_row(subject))] == list(list_group(name))


@pytest.mark.usefixtures("_timm")
@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        ("timm:resnet101", ("timm:resnet101",)),
        ("timm:mobileone_s[01]", ("timm:mobileone_s0", "timm:mobileone_s1")),
        ("timm:swiftformer_?s", ("timm:swiftformer_xs",)),
        ("timm:starnet_s*", tuple(f"timm:starnet_s{i}" for i in ("050", "100", "150", "1", "2", "3", "4"))),
        ("starnet_s[12]", ("timm:starnet_s1", "timm:starnet_s2")),
        ("starnet_s[12]:classes=10", ("timm:starnet_s1:classes=10", "timm:starnet_s2:classes=10")),
        ("resnet101", ("timm:resnet101",)),
        ("resnet101.tv_in1k", ("timm:resnet101.tv_in1k",)),
        ("saevit_t*", ("saevit_tiny",)),
    ],
)
def test_resolve_asks_timm(text: str, subjects: tuple[str, ...]) -> None:
    assert expand_model(text, PRESETS) == tuple(sorted(subjects))


@pytest.mark.usefixtures("_timm")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm:mobilenetv4_conv_smal", "timm:mobilenetv4_conv_smal is not a timm model: did you mean mobile"),
        ("timm:edgevit_xs", "timm:edgevit_xs is not a timm model: did you mean"),
        ("timm:resnet18.nonsense", "timm:resnet18.nonsense: resnet18 has no tag 'nonsense'"),
        ("timm:mobilnetv4*", "timm:mobilnetv4* matches no timm model: nearest are timm:mobilenetv4* or"),
        ("timm:resnet18.*", "timm:resnet18.* matches no timm model: nearest are timm:resnet18"),
        ("timm:zzz*", "timm:zzz* matches no timm model: nearest are timm:"),
        ("timm:", "timm: names no model: for example timm:resnet18 or timm:mobilenetv4*"),
    ],
)
def test_refuses_what_timm_lacks(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)) as raised:
        expand_model(text, PRESETS)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("saevit_tny", "'saevit_tny' is not a model: did you mean saevit_tiny"),
        ("saevit_tny:width=2", "did you mean saevit_tiny"),
        ("hybrids", "did you mean hybrid?"),
        ("class-0.9", "did you mean class-0.8"),
        ("mobilenetv4_conv_smal", "did you mean mobilenetv4_conv_small or"),
        ("swin_tiny", "did you mean swin_tiny_patch4_window7_224?"),
        ("resnet18.nonsense", "resnet18 has no tag 'nonsense'"),
        ("resnt*", "resnt* matches no timm model: nearest are tresnet*"),
        ("", "a model's name is empty: for example saevit_tiny or resnet18"),
        ("zzz", "'zzz' is not a model: nearest are "),
        ("z" * 50_000, "..."),
    ],
)
@pytest.mark.usefixtures("_timm")
def test_refuses_what_is_nothing(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)) as raised:
        expand_model(text, PRESETS)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200
