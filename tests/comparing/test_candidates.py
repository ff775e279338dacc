"""What the published table lends to a model."""

from dataclasses import replace
from typing import Any

import pytest

from saevit.baselines import published
from saevit.comparing.candidates import accuracy_of, candidate_of


@pytest.mark.parametrize(
    ("model", "img_size", "plain"),
    [
        ("mobilenetv3_large_100", (224, 224), True),
        ("mobilenetv3_large_100", (256, 256), False),  # its costs would be of another size
        ("mobilenetv4_conv_medium.e500_r256_in1k", (224, 224), False),
        ("mobilenetv4_conv_medium.e500_r256_in1k", (256, 256), True),
        ("mobilenetv4_conv_medium.e500_r256_in1k", (256, 224), False),
        ("repvit_m0_9", (224, 224), False),  # distilled
        ("saevit_claim_0.8g", (224, 224), False),
    ],
)
def test_only_a_plain_accuracy_of_the_same_size_competes(
    model: str, img_size: tuple[int, int], plain: bool
) -> None:
    row = published.find_row(model)
    assert row is not None
    found = accuracy_of(row, img_size)
    assert found is not None
    assert found.plain is plain
    assert found.top1 == row.top1


@pytest.mark.parametrize(
    ("distilled", "extra_data", "plain"),
    [
        ("no", "none", True),
        ("none stated", "none stated", True),
        ("none stated", "unknown", True),
        ("yes", "none", False),
        ("no", "ImageNet-22k", False),  # so far every such row is distilled too
    ],
)
def test_teachers_and_extra_data_each_keep_an_accuracy_from_competing(
    distilled: Any, extra_data: Any, plain: bool
) -> None:
    row = published.find_row("mobilenetv3_large_100")
    assert row is not None
    found = accuracy_of(replace(row, distilled=distilled, extra_data=extra_data), (224, 224))
    assert found is not None
    assert found.plain is plain


def test_published_macs_are_not_shown_at_another_size() -> None:
    assert candidate_of("saevit_claim_0.8g", (224, 224)).macs == 800_000_000
    relative = published.find_row("edgevit_xs")
    assert relative is not None
    assert relative.img_size == 224
    assert candidate_of("edgevit_xs", (224, 224)).macs
    assert candidate_of("edgevit_xs", (320, 320)).macs is None


def test_families() -> None:
    assert candidate_of("saevit_tiny:width=2", (224, 224)).family == "SAEViT"
    assert candidate_of("saevit_claim_0.8g", (224, 224)).family == "SAEViT (claim)"
    assert candidate_of("timm:mobilenetv3_large_100", (224, 224)).family == "MobileNetV3"
    assert candidate_of("timm:vgg11", (224, 224)).family is None
