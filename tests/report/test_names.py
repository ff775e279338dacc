"""Short names stay apart."""

from hypothesis import given
from hypothesis import strategies as st

from saevit.report.names import LONGEST, short_names
from saevit.text import printable

PARTS = st.text(alphabet="abc_1", min_size=1, max_size=LONGEST)
MODELS = st.one_of(
    st.builds("timm:{}.{}".format, PARTS, PARTS),
    st.builds("timm:{}".format, PARTS),
    st.builds("birder:{}".format, PARTS),
    st.builds("saevit_tiny:dims={},width=1.25".format, PARTS),
    PARTS,
    st.text(st.characters(), max_size=2 * LONGEST),
)


def test_prefix_and_tag_go_where_nothing_is_lost() -> None:
    names = short_names(
        ["timm:resnet18.a1_in1k", "timm:resnet50.tv_in1k", "timm:resnet50.a1_in1k", "edgevit_xs"]
    )
    assert list(names.values()) == ["resnet18", "resnet50.tv_in1k", "resnet50.a1_in1k", "edgevit_xs"]


def test_a_variant_keeps_the_dots_of_its_values() -> None:
    assert short_names(["saevit_tiny:width=1.25"]) == {"saevit_tiny:width=1.25": "saevit_tiny:width=1.25"}


def test_variants_that_differ_in_the_middle_get_numbers() -> None:
    names = short_names([f"saevit_tiny:dims=32-64-160-256,rates=8-4-2-{i},ffn=mlp,act=relu" for i in (1, 2)])
    first, second = names.values()
    assert first.startswith("saevit_tiny")
    assert {first[-3:], second[-3:]} == {" #1", " #2"}


@given(st.lists(MODELS, max_size=20, unique=True))
def test_no_two_models_share_a_name_and_none_is_long(models: list[str]) -> None:
    names = short_names(models)
    assert list(names) == models
    assert len(set(names.values())) == len(models)
    assert all(len(name) <= LONGEST + len(" #20") for name in names.values())
    assert all(printable(name) == name for name in names.values())
