"""timm's networks as subjects."""

import re

import pytest
import timm
import torch

from saevit.errors import MeasureError, OptionError
from saevit.machine import HELD
from saevit.measure.timing import TimingOptions
from saevit.profiling import profile

pytest.importorskip("torchvision", exc_type=RuntimeError, reason="torchvision does not match this torch")

from saevit.baselines import timm_models


@pytest.mark.parametrize(
    ("name", "params", "gmacs"),
    [  # timm 1.0.31; GMACs of contractions, of the re-parameterised network where there is one
        ("mobilenetv4_conv_small", 3_774_024, 0.1860),
        ("deit_tiny_patch16_224", 5_717_416, 1.2537),
        ("mobileone_s0", 2_078_504, 0.2751),
        ("tiny_vit_5m_224", 5_387_836, 1.2552),  # its default head would have 21,841 classes
    ],
)
def test_whole_profile(name: str, params: int, gmacs: float) -> None:
    found = profile(f"timm:{name}", counters=["torch"])
    assert found.params == params
    assert round(found.macs / 1e9, 4) == gmacs
    assert sum(row.macs for row in found.rows) == found.macs
    assert sum(row.params for row in found.rows) == found.params


def test_a_fixed_size_follows_the_size_asked_for() -> None:
    at_224, at_160 = (
        profile("timm:deit_tiny_patch16_224", img_size=s, counters=["torch"])
        for s in ((224, 224), (160, 160))
    )
    assert at_160.macs < at_224.macs
    assert at_160.params < at_224.params  # fewer positions


@pytest.mark.slow  # every module is timed
def test_timed_beside_its_counts() -> None:
    plan = TimingOptions(batch_sizes=(1,), rounds=3, min_time=0.001, device="cpu")
    found = profile("timm:mobilenetv3_small_050", img_size=(64, 64), counters=["torch"], timing=plan)
    assert found.run is not None
    assert len(found.run.timed[0].samples) == 3
    assert all(row.seconds for row in found.rows if row.path in ("conv_stem", "blocks.0", "classifier"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilenetv4_conv_smal", "is not a timm model: did you mean mobilenetv4_conv_small"),
        ("resnet50.nonsense", "resnet50 has no tag 'nonsense': choose from"),
    ],
)
def test_refuses(name: str, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        timm_models.build_for_inference(name, (224, 224))


def test_analytic_is_of_variants_only() -> None:
    with pytest.raises(OptionError, match="counter 'analytic' is of SAEViT variants only"):
        profile("timm:resnet18", counters=["analytic"])


def test_a_network_beyond_the_memory_is_refused_while_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_models, "free_memory", lambda: 47e6 * HELD)  # resnet18 has 46.8 MB of weights
    assert timm_models.build_trainable("resnet18", (64, 64))
    for name, classes in {"resnet34": 1000, "resnet18": 2**18}.items():
        with pytest.raises(
            MeasureError, match=r"timm cannot build .* px: it needs more than 0\.047 GB, which do"
        ):
            timm_models.build_trainable(name, (64, 64), num_classes=classes)


@pytest.mark.parametrize(
    "name", ["resnet18", "vit_tiny_patch16_224", "mobilenetv4_conv_small", "edgenext_xx_small"]
)
def test_watching_the_memory_changes_no_weight(name: str) -> None:
    torch.manual_seed(0)
    watched = timm_models.build_trainable(name, (224, 224)).state_dict()
    torch.manual_seed(0)
    plain = timm.create_model(name, num_classes=1000, in_chans=3).state_dict()
    assert watched.keys() == plain.keys()
    assert all(torch.equal(watched[key], plain[key]) for key in plain)
