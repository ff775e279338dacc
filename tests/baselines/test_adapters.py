"""Which texts are another library's networks, and which of them are the same network."""

import re
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saevit.baselines.adapters import ADAPTERS, map_same_networks, name_network, read_library_model
from saevit.baselines.published import load_rows
from saevit.errors import SaevitError
from saevit.variant import PRESETS

TEXTS = [row.subject for row in load_rows()] + [
    *PRESETS,
    "saevit_tiny:width=0.5",
    "timm:resnet18",
    "birder:edgevit_xs",
    "birder:resnet18",
    "timm:qwen3_vit_306m_enc.qwen3_5_2b",
    "timm:qwen3_vit_306m_enc.qwen3_5_4b",
]
CHUNKS = 8


@pytest.mark.parametrize(
    ("text", "prefix", "name", "num_classes"),
    [
        ("timm:resnet18.tv_in1k", "timm:", "resnet18.tv_in1k", 1000),
        ("birder:edgevit_xs", "birder:", "edgevit_xs", 1000),
        ("timm:resnet18:classes=10", "timm:", "resnet18", 10),
        ("birder:edgevit_xs:classes=0", "birder:", "edgevit_xs", 0),
        ("timm:", "timm:", "", 1000),
    ],
)
def test_a_text_and_its_parts(text: str, prefix: str, name: str, num_classes: int) -> None:
    found = read_library_model(text)
    assert found == (ADAPTERS[prefix], name, num_classes)
    assert str(found) == text


def test_the_usual_number_of_classes_is_not_written() -> None:
    assert str(read_library_model("timm:resnet18:classes=1000")) == "timm:resnet18"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timm:resnet18:width=2", "width is a key of SAEViT variants; other models take only classes"),
        ("timm:resnet18:classes=many", "classes=many is not a whole number"),
        ("timm:resnet18:classes=-1", "out of range: nearest is 0"),
        ("timm:resnet18:klasses=1", "'klasses' is not a key: did you mean classes?"),
        ("timm:resnet18:", "is not key=value"),
    ],
)
def test_other_keys_are_refused(text: str, message: str) -> None:
    with pytest.raises(SaevitError, match=re.escape(message)):
        read_library_model(text)


@pytest.mark.parametrize("text", ["saevit_tiny", "saevit_tiny:width=2", "timm", "edgevit_xs", "tim:*", ""])
def test_no_other_text_is_of_a_library(text: str) -> None:
    assert read_library_model(text) is None


def test_trainings_of_one_network_are_one_network() -> None:
    models = [
        "saevit_tiny",
        "timm:fastvit_t8.apple_in1k",
        "timm:fastvit_t12.apple_in1k",
        "timm:fastvit_t8.apple_dist_in1k",
        "timm:fastvit_t8",
        "birder:fastvit_t8",  # another implementation
        "saevit_tiny:width=1",
        "timm:fastvit_t8.apple_in1k:classes=10",
        "timm:fastvit_t8:classes=10",
        "lightvit_t",
    ]
    found = map_same_networks(models)
    assert list(found) == models
    assert {model: first for model, first in found.items() if model != first} == {
        "timm:fastvit_t8.apple_dist_in1k": "timm:fastvit_t8.apple_in1k",
        "timm:fastvit_t8": "timm:fastvit_t8.apple_in1k",
        "timm:fastvit_t8:classes=10": "timm:fastvit_t8.apple_in1k:classes=10",
    }


@given(st.lists(st.sampled_from(TEXTS)))
def test_the_first_stands_for_all(models: list[str]) -> None:
    found = map_same_networks(models)
    assert found.keys() == set(models)
    for model, first in found.items():
        assert models.index(first) <= models.index(model)
        assert found[first] == first
    for one in found:
        for other in found:
            assert (found[one] == found[other]) == (name_network(one) == name_network(other))


def test_the_table_has_one_count_for_one_network() -> None:
    counts = defaultdict(set)
    rows = [row for row in load_rows() if row.gmacs is not None]
    for row in rows:
        figures = (row.params_m, row.gmacs, row.params_m_reparam, row.gmacs_reparam)
        counts[name_network(row.subject), row.img_size].add(figures)
    assert all(len(figures) == 1 for figures in counts.values())
    assert len(counts) < len(rows)  # or it would have shown nothing


def layout(name: str) -> Any:
    """The modules and weights of a timm network at 224 px, without memory for them."""
    import torch

    from saevit.baselines import timm_models

    with torch.device("meta"):
        model = timm_models.build_trainable(name, (224, 224))
    return repr(model), {key: tuple(value.shape) for key, value in model.state_dict().items()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_tags_of_timm_choose_weights_alone(chunk: int) -> None:
    pytest.importorskip("torchvision", exc_type=RuntimeError, reason="torchvision does not match this torch")
    import timm

    tagged = defaultdict(list)
    for name in timm.list_pretrained():
        tagged[name_network(f"timm:{name}")].append(name)
    several = [names for names in tagged.values() if len(names) > 1]
    assert len(several) > 100
    for names in several[chunk::CHUNKS]:
        first = layout(names[0])
        assert all(layout(name) == first for name in names[1:]), names
