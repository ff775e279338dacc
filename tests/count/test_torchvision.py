"""The torch counter against the GMACs that torchvision publishes with its weights. Nothing is downloaded."""

from typing import Any

import pytest
import torch
from torch import nn

from saevit.count.torch_counter import count_torch
from saevit.errors import MissingPackageError, need

try:
    models: Any = need("torchvision.models")
except MissingPackageError as error:
    pytest.skip(str(error), allow_module_level=True)

# One or more of each family, small first where there is a choice; test-slow takes all 80 classifiers.
NAMES = """
alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_b1 efficientnet_v2_s googlenet inception_v3
maxvit_t mnasnet0_5 mnasnet1_0 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_400mf
regnet_x_800mf regnet_y_400mf regnet_y_800mf regnet_y_1_6gf resnet18 resnet34 resnet50 resnext50_32x4d
shufflenet_v2_x0_5 shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1 swin_t swin_v2_t vgg11 vgg11_bn vit_b_16
vit_b_32 wide_resnet50_2
""".split()  # noqa: SIM905  # a list would take a page

EXCEPTIONS: dict[str, float] = {}  # name -> our GMACs, where they are not torchvision's; none is known


def build(name: str, crop: int) -> nn.Module:
    """Build a classifier with its head, without weights and where possible without memory for them."""
    options: dict[str, object] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # else they warn that this will change
    if name.startswith("vit_"):
        options["image_size"] = crop  # their position embedding is of one size
    device = "cpu" if name.startswith("regnet") else "meta"  # RegNet reads its widths from tensors
    with torch.device(device):
        model: nn.Module = models.get_model(name, **options)
    return model


def published(name: str) -> set[tuple[int, float]]:
    """Return the input sizes and GMACs of a classifier's weights."""
    weights = models.get_model_weights(name)
    return {(entry.transforms().crop_size[0], entry.meta["_ops"]) for entry in weights}


def check(name: str) -> None:
    for crop, gmacs in sorted(published(name)):
        count = count_torch(build(name, crop), (1, 3, crop, crop))
        assert f"{count.total / 1e9:.3f}" == f"{EXCEPTIONS.get(name, gmacs):.3f}", f"at {crop} px"
        assert count.uncounted == {}
        assert count.notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_gmacs_are_torchvisions(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(models.list_models(module=models)) - set(NAMES)))
def test_gmacs_of_every_other_classifier(name: str) -> None:
    check(name)
