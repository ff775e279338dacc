"""The torch counter against GMACs measured before it was written."""

import warnings
from typing import Any

import pytest

from saevit.count.fvcore_counter import count_fvcore
from saevit.count.receipt import compare_counts
from saevit.count.torch_counter import count_torch
from saevit.errors import MissingPackageError, need

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what timm's imports warn of is not under test
        timm: Any = need("timm")
except MissingPackageError as error:
    pytest.skip(str(error), allow_module_level=True)

# Model, input size, GMACs. Source: timm 1.0.31, FlopCounterMode/2 (torch 2.15.0), before re-parameterising.
GMACS = [
    ("pit_ti_224", 224, "0.6991"),
    ("pit_xs_224", 224, "1.3947"),
    ("deit_tiny_patch16_224", 224, "1.2537"),
    ("mobilevit_xxs", 256, "0.4074"),
    ("mobilevit_s", 256, "2.0008"),
    ("pvt_v2_b0", 224, "0.5661"),
    ("efficientformer_l1", 224, "1.2913"),
    ("efficientvit_b0", 224, "0.1002"),
    ("repvit_m0_9", 224, "0.8173"),
    ("fastvit_t8", 256, "0.6901"),
    ("edgenext_xx_small", 256, "0.2579"),
    ("levit_128s", 224, "0.3047"),
    ("mobilenetv4_conv_medium", 256, "1.0802"),
    ("ghostnetv2_100", 224, "0.1670"),
    ("mobileone_s0", 224, "1.0519"),
    ("xcit_tiny_12_p16_224", 224, "1.2301"),
    ("coat_lite_tiny", 224, "1.5890"),
    ("poolformer_s12", 224, "1.8123"),
    ("resnet18", 224, "1.8141"),
]


@pytest.mark.parametrize(("name", "size", "gmacs"), GMACS, ids=[name for name, _, _ in GMACS])
def test_gmacs_are_the_measured_ones(name: str, size: int, gmacs: str) -> None:
    model = timm.create_model(name, pretrained=False)
    count = count_torch(model, (1, 3, size, size))
    assert f"{count.total / 1e9:.4f}" == gmacs
    assert count.uncounted == {}
    assert count.notes == ()


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "edgenext_xx_small", "levit_128s", "repvit_m0_9"])
def test_fvcore_agrees_by_path(name: str) -> None:
    model = timm.create_model(name, pretrained=False)
    shape = (1, 3, *model.default_cfg["input_size"][1:])
    assert compare_counts(count_fvcore(model, shape).macs, count_torch(model, shape).macs) == {}
