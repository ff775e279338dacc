"""The fused network: the same function, of any variant, and nothing of the original changed."""

import copy
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from saevit.errors import SaevitError
from saevit.model import fuse as fuse_module
from saevit.model.fuse import fuse
from saevit.model.layers import DropPath
from saevit.model.pyramid import Block, SAEViT, build
from saevit.parse import parse
from saevit.presets import PRESETS
from saevit.spec import VariantSpec
from tests.strategies import img_sizes, specs

SMALL = parse("saevit_tiny:dims=8-16-24-32,heads=1-2-3-4,depths=1-2-3-2,classes=10,rates=4-3-2-1")
SWITCHES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "dense": {"attention": "dense"},
    "no attention": {"attention": "none"},
    "average": {"sampling": "average"},
    "stride": {"sampling": "stride"},
    "mlp": {"ffn": "mlp"},
    "no local": {"local": "none"},
    "gelu": {"act": "gelu"},
    "relu": {"act": "relu"},
    "silu": {"act": "silu"},
    "no classes": {"num_classes": 0},
    "grey": {"in_chans": 1},
}
some_switches = pytest.mark.parametrize(
    "switch", [{}, {"attention": "dense"}, {"sampling": "average", "ffn": "mlp", "local": "none"}], ids=str
)
every_switch = pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES.keys())


def trained(spec: VariantSpec, seed: int = 0, decades: float = 1) -> SAEViT:
    """A network in eval mode that looks trained: no weight is special, and scales differ between channels.

    What BatchNorm sees spans `decades` orders of magnitude, its variances twice that; its statistics are off
    by up to a factor of 2. Weights, biases and gamma have both signs.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SAEViT(spec).train()
        for module in model.modules():
            randomise(module, decades)
        with torch.no_grad():
            model(noise(4, spec.in_chans, 64, 64))  # sets the statistics
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            norm.running_mean += torch.randn_like(norm.running_mean) * norm.running_var.sqrt() / 4
            norm.running_var *= 2 ** torch.empty_like(norm.running_var).uniform_(-1, 1)
        return model.eval()


def randomise(module: nn.Module, decades: float) -> None:
    """Draw one layer's weights."""
    if isinstance(module, nn.BatchNorm2d):
        nn.init.uniform_(module.weight, 0.2, 1.5)
        with torch.no_grad():
            module.weight *= torch.randn_like(module.weight).sign()
        nn.init.normal_(module.bias, std=0.5)
        module.momentum = None  # the statistics of one batch, not a share of them
    elif isinstance(module, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
        fan_in = module.weight[0].numel()
        spread = 10 ** torch.empty(len(module.weight)).uniform_(-decades / 2, decades / 2)
        nn.init.normal_(module.weight, std=fan_in**-0.5)
        with torch.no_grad():
            module.weight *= (spread / 2).reshape(-1, *[1] * (module.weight.ndim - 1))
        if module.bias is not None:
            nn.init.normal_(module.bias, std=0.3)
    if hasattr(module, "gamma"):
        nn.init.normal_(module.gamma, std=0.5)


def noise(*shape: int) -> Tensor:
    """The same numbers on every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def error(y: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what was expected."""
    return ((y.double() - expected.double()).norm() / expected.double().norm()).item()


@settings(max_examples=30, deadline=None)
@given(specs(), img_sizes(100), st.integers(0, 2**16))
def test_any_variant_at_any_size(spec: VariantSpec, img_size: tuple[int, int], seed: int) -> None:
    model = trained(spec, seed)
    x = noise(2, spec.in_chans, *img_size)
    with torch.inference_mode():
        fused = fuse(model)
        assert error(fused(x), model(x)) < 1e-4
        assert error(fused.forward_features(x), model.forward_features(x)) < 1e-4


@settings(max_examples=15, deadline=None)
@given(specs(), img_sizes(64), st.integers(0, 2**16))
def test_the_folds_are_exact(spec: VariantSpec, img_size: tuple[int, int], seed: int) -> None:
    model = trained(spec, seed).double()
    x = noise(2, spec.in_chans, *img_size).double()
    with torch.inference_mode():  # not to the last digit: both round the weights in a window to fp32
        assert error(fuse(model)(x), model(x)) < 1e-6


@every_switch
def test_presets_and_switches(switch: dict[str, Any]) -> None:
    model = trained(replace(PRESETS["saevit_tiny"], **switch))
    x = noise(1, model.spec.in_chans, 224, 160)
    with torch.inference_mode():
        assert error(fuse(model)(x), model(x)) < 1e-4


@some_switches
def test_bfloat16_is_as_close_as_the_reference(switch: dict[str, Any]) -> None:
    of_fused, of_reference = [], []
    for seed in range(9):
        model = trained(replace(SMALL, **switch), seed, decades=0.5)
        x = noise(4, 3, 70, 64)
        with torch.inference_mode():
            expected = model(x)
            y = fuse(model).to(torch.bfloat16)(x.to(torch.bfloat16))
            of_reference.append(error(model.to(torch.bfloat16)(x.to(torch.bfloat16)), expected))
        assert y.dtype == torch.bfloat16
        of_fused.append(error(y, expected))
    assert median(of_fused) < 2e-2
    assert median(of_fused) < 1.5 * median(of_reference)


def test_a_model_in_half_precision_stays_in_it() -> None:
    model = trained(SMALL).to(torch.bfloat16)
    fused = fuse(model)
    assert {parameter.dtype for parameter in fused.parameters()} == {torch.bfloat16}
    assert fused(noise(1, 3, 64, 64).to(torch.bfloat16)).isfinite().all()


def test_the_original_is_untouched() -> None:
    model = trained(SMALL)
    before, modules = copy.deepcopy(model), list(model.modules())
    x = noise(2, 3, 64, 64)
    fused = fuse(model)
    with torch.inference_mode():
        fused(x)
        assert torch.equal(model(x), before(x))
    assert list(model.modules()) == modules
    assert not any(module.training for module in modules)
    assert all(parameter.requires_grad for parameter in model.parameters())
    for ours, theirs in zip(model.state_dict().items(), before.state_dict().items(), strict=True):
        assert ours[0] == theirs[0]
        assert torch.equal(ours[1], theirs[1])
    shared = {t.untyped_storage().data_ptr() for t in model.state_dict().values()}
    assert shared.isdisjoint(t.untyped_storage().data_ptr() for t in fused.state_dict().values())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_input_is_untouched(layout: torch.memory_format) -> None:
    x = noise(2, 3, 64, 64).contiguous(memory_format=layout)
    before = x.clone()
    fuse(build(SMALL))(x)
    assert torch.equal(x, before)


def test_nothing_of_the_reference_form_is_left() -> None:
    fused = fuse(trained(replace(SMALL, drop_path_rate=0.1)))
    gone = (nn.BatchNorm2d, nn.ConvTranspose2d, nn.Dropout, DropPath, Block)
    assert not any(isinstance(module, gone) for module in fused.modules())
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    assert not list(fused.buffers())
    assert not fused.training
    assert fused.spec == replace(SMALL, drop_path_rate=0.1)


@pytest.mark.parametrize("part", ["", "head.norm", "stages.2.blocks.0.drop_path"])
def test_training_mode_is_refused(part: str) -> None:
    model = build(SMALL)
    model.get_submodule(part).train()
    with pytest.raises(SaevitError, match=r"^fuse .* training mode: call model.eval\(\) first$"):
        fuse(model)


def test_other_models_are_refused() -> None:
    for model in (nn.Linear(2, 2), fuse(build(SMALL))):
        with pytest.raises(SaevitError, match=rf"^fuse cannot take a {type(model).__name__}: .*SAEViT"):
            fuse(model)  # type: ignore[arg-type]


def test_packed_weights_follow_the_weights_and_the_size() -> None:
    fused = fuse(trained(SMALL))
    x, wide = noise(2, 3, 64, 64), noise(2, 3, 48, 80)
    with torch.inference_mode():
        first, second = fused(x), fused(wide)
        assert torch.equal(fused(x), first)
    fused.double()
    assert error(fused(wide.double()).float(), second) < 1e-5
    fused.float()
    assert error(fused(x), first) < 1e-5
    with torch.no_grad():
        fused.head.fc.weight.mul_(2)
    assert not torch.allclose(fused(x), first, rtol=1e-2)


def test_a_counter_sees_the_usual_operators() -> None:
    """oneDNN's have no formula in torch.utils.flop_counter: nothing would be counted."""
    fused, x = fuse(build(SMALL)), noise(1, 3, 64, 64)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        fused(x)
    with torch.inference_mode(), FlopCounterMode(display=False) as reference:
        build(SMALL)(x)
    assert counter.get_total_flops() == pytest.approx(reference.get_total_flops(), rel=0.05)


def test_copies_and_checkpoints() -> None:
    x = noise(2, 3, 64, 64)
    fused, other = fuse(trained(SMALL)), fuse(trained(SMALL, seed=1))
    expected = fused(x)
    assert torch.equal(copy.deepcopy(fused)(x), expected)
    assert not torch.equal(other(x), expected)
    other.load_state_dict(fused.state_dict())
    assert torch.equal(other(x), expected)


def test_a_whole_network_can_be_pickled(tmp_path: Path) -> None:
    x = noise(1, 3, 64, 64)
    fused = fuse(trained(SMALL))
    torch.save(fused, tmp_path / "fused.pt")
    assert torch.equal(torch.load(tmp_path / "fused.pt", weights_only=False)(x), fused(x))


@pytest.mark.parametrize("img_size", [(64, 64), (50, 37)])
def test_layouts_of_input_and_weights(img_size: tuple[int, int]) -> None:
    model = trained(SMALL)
    x = noise(2, 3, *img_size)
    for layout in (torch.contiguous_format, torch.channels_last):
        fused = fuse(model).to(memory_format=layout)
        for input_layout in (torch.contiguous_format, torch.channels_last):
            with torch.no_grad():
                y = fused(x.contiguous(memory_format=input_layout))
                assert error(y, model(x)) < 1e-5


def test_images_of_a_batch_do_not_mix_and_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = fuse(trained(SMALL))
    x = noise(7, 3, 40, 50)
    with torch.inference_mode():
        expected = fused(x)
        assert fused.num_parts(x) == 1
        monkeypatch.setattr(fuse_module, "LARGEST_MAP", 3 * 16 * 10 * 13 * 4)  # bytes: three images
        assert fused.num_parts(x) == 3
        assert error(fused(x), expected) < 1e-5
        monkeypatch.setattr(fuse_module, "LARGEST_MAP", 1)
        assert fused.num_parts(x) == 7
        assert error(fused(x), expected) < 1e-5


def test_a_part_of_saevit_tiny_holds_up_to_thirteen_images() -> None:
    fused = fuse(build(PRESETS["saevit_tiny"]))  # the largest map is 96 x 56 x 56: 1.15 MiB an image
    assert [fused.num_parts(torch.empty(B, 3, 224, 224)) for B in (1, 13, 14, 64)] == [1, 1, 2, 5]
    assert fused.num_parts(torch.empty(1, 3, 2048, 2048)) == 1


@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")
@some_switches
def test_compiled(switch: dict[str, Any]) -> None:
    torch.compiler.reset()
    fused = fuse(trained(replace(SMALL, **switch)))
    x = noise(2, 3, 64, 80)
    compiled = torch.compile(fused, backend="aot_eager", fullgraph=True)
    with torch.inference_mode():
        assert error(compiled(x), fused(x)) < 1e-5


@some_switches
def test_exported_for_any_batch(switch: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # Eager works image by image; no trace of it is exported.
    monkeypatch.setattr(fuse_module, "LARGEST_MAP", 1)
    fused = fuse(trained(replace(SMALL, **switch)))
    batch = torch.export.Dim("batch", min=1, max=512)
    with torch.no_grad():
        example = noise(2, 3, 64, 72)
        program = torch.export.export(fused, (example,), dynamic_shapes=({0: batch},))
        for B in (1, 3, 300):
            x = torch.randn(B, 3, 64, 72)
            assert error(program.module()(x), fused(x)) < 1e-5


def test_it_takes_a_model_without_data() -> None:
    with torch.device("meta"):
        model = SAEViT(SMALL).eval()
    assert fuse(model)(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 10)
