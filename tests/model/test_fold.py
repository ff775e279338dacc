"""The folded form: the same function, of any variant, and nothing of the original changed."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from saevit.count.cost import count_network
from saevit.errors import SaevitError
from saevit.model.ciffn import Redistribute
from saevit.model.fold import fold
from saevit.model.layers import DropPath
from saevit.model.pyramid import Block, SAEViT, build
from saevit.model.saa import Recover
from saevit.variant import NUM_GROUPS, PRESETS, VariantSpec
from tests.model.networks import SMALL, SWITCHES, error, noise, trained
from tests.strategies import img_sizes, specs

every_switch = pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES.keys())
some_switches = pytest.mark.parametrize(
    "switch", [{}, {"sampling": "mix"}, {"sampling": "average", "ffn": "mlp", "local": "none"}], ids=str
)
LAYOUTS = [torch.contiguous_format, torch.channels_last]


@settings(max_examples=20, deadline=None)
@given(specs(), img_sizes(100), st.integers(0, 2**16), st.sampled_from([1, 2, 5]), st.sampled_from(LAYOUTS))
def test_any_variant_at_any_size(
    spec: VariantSpec, img_size: tuple[int, int], seed: int, batch: int, layout: torch.memory_format
) -> None:
    """Compared before the head, which is the same module: one logit alone may be a small difference.

    So may a map of one channel: there the rounding of the defined form itself is the measure.
    """
    network = trained(spec, seed)
    x = noise(batch, spec.in_chans, *img_size).contiguous(memory_format=layout)
    with torch.inference_mode():
        folded, features = fold(network), network.forward_features(x)
        rounding = error(features, trained(spec, seed).double().forward_features(x.double()))
        assert error(folded.stages(folded.stem(x)), features) < max(1e-5, 4 * rounding)
        assert torch.allclose(folded(x), network.forward_head(features), rtol=1e-3, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(specs(), img_sizes(64), st.integers(0, 2**16), st.sampled_from([1, 3]))
def test_the_folds_are_exact(spec: VariantSpec, img_size: tuple[int, int], seed: int, batch: int) -> None:
    network = trained(spec, seed).double()
    x = noise(batch, spec.in_chans, *img_size).double()
    with torch.inference_mode():
        assert error(fold(network)(x), network(x)) < 1e-12


@every_switch
@pytest.mark.parametrize("layout", LAYOUTS, ids=["NCHW", "NHWC"])
def test_every_switch(switch: dict[str, Any], layout: torch.memory_format) -> None:
    network = trained(replace(SMALL, **switch))
    for shape in ((1, 64, 64), (3, 97, 50), (2, 32, 33)):
        x = noise(shape[0], network.spec.in_chans, *shape[1:]).contiguous(memory_format=layout)
        with torch.inference_mode():
            assert error(fold(network)(x), network(x)) < 1e-5


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    network, x = trained(PRESETS[name]), noise(1, 3, 96, 130)
    with torch.inference_mode():
        assert error(fold(network)(x), network(x)) < 1e-5


@every_switch
@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)], ids=str)
def test_half_precision_is_near_float64(switch: dict[str, Any], dtype: torch.dtype, limit: float) -> None:
    network = trained(replace(SMALL, **switch))
    x = noise(4, network.spec.in_chans, 70, 64)
    with torch.inference_mode():
        expected = copy.deepcopy(network).double()(x.double())
        folded = fold(network).to(dtype)
        y = folded(x.to(dtype))
        assert y.dtype == dtype
        assert error(y, expected) < limit
        assert error(copy.deepcopy(network).to(dtype)(x.to(dtype)), expected) < limit


def test_a_network_in_half_precision_stays_in_it() -> None:
    folded = fold(trained(SMALL).to(torch.bfloat16))
    assert {parameter.dtype for parameter in folded.parameters()} == {torch.bfloat16}
    assert folded(noise(1, 3, 64, 64).to(torch.bfloat16)).isfinite().all()


def test_the_original_is_untouched() -> None:
    network = trained(SMALL)
    before, modules = copy.deepcopy(network), list(network.modules())
    x = noise(2, 3, 64, 64)
    folded = fold(network)
    with torch.inference_mode():
        folded(x)
        assert torch.equal(network(x), before(x))
    assert list(network.modules()) == modules
    assert not any(module.training for module in modules)
    assert all(parameter.requires_grad for parameter in network.parameters())
    for ours, theirs in zip(network.state_dict().items(), before.state_dict().items(), strict=True):
        assert ours[0] == theirs[0]
        assert torch.equal(ours[1], theirs[1])
    shared = {t.untyped_storage().data_ptr() for t in network.state_dict().values()}
    assert shared.isdisjoint(t.untyped_storage().data_ptr() for t in folded.state_dict().values())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_input_is_untouched(layout: torch.memory_format) -> None:
    x = noise(2, 3, 50, 70).contiguous(memory_format=layout)
    before = x.clone()
    fold(build(SMALL))(x)
    assert torch.equal(x, before)


@some_switches
def test_nothing_is_left_that_only_training_needs(switch: dict[str, Any]) -> None:
    spec = replace(SMALL, drop_path_rate=0.1, **switch)
    folded = fold(trained(spec))
    gone = (nn.BatchNorm2d, DropPath, Block, Redistribute, Recover)
    assert not any(isinstance(module, gone) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not list(folded.buffers())
    assert not folded.training
    assert folded.spec == spec


@some_switches
def test_every_parameter_of_the_folded_form_is_used(switch: dict[str, Any]) -> None:
    folded = fold(trained(replace(SMALL, **switch))).requires_grad_()
    folded(noise(2, 3, 64, 64)).square().sum().backward()
    assert [name for name, parameter in folded.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("part", ["", "head.drop", "stages.2.blocks.0.drop_path"])
def test_training_mode_is_refused(part: str) -> None:
    network = build(SMALL)
    network.get_submodule(part).train()
    with pytest.raises(SaevitError, match=r"^fold .* training mode: call network.eval\(\) first$"):
        fold(network)


def test_other_networks_are_refused() -> None:
    for network in (nn.Linear(2, 2), fold(build(SMALL))):
        with pytest.raises(SaevitError, match=rf"^fold cannot take a {type(network).__name__}: .*SAEViT"):
            fold(network)  # type: ignore[arg-type]


def test_it_follows_its_weights_and_the_size() -> None:
    folded = fold(trained(SMALL))
    x, wide = noise(2, 3, 64, 64), noise(2, 3, 48, 80)
    with torch.inference_mode():
        first, second = folded(x), folded(wide)
        assert torch.equal(folded(x), first)
    folded.double()
    assert error(folded(wide.double()), second) < 1e-5
    folded.float()
    assert error(folded(x), first) < 1e-5
    last = folded.get_submodule("stages.3.blocks.1.ffn.fc2")
    with torch.no_grad():
        last.weight.mul_(2)
    changed = fold(trained(SMALL))
    changed.load_state_dict(folded.state_dict())
    assert not torch.allclose(folded(x), first, rtol=1e-2)
    assert torch.equal(folded(x), changed(x))


def test_copies_and_files_leave_packed_weights_out() -> None:
    x = noise(2, 3, 64, 64)
    folded, other = fold(trained(SMALL)), fold(trained(SMALL, seed=1))
    size, names = len(pickle.dumps(folded)), folded.state_dict().keys()
    expected = folded(x)
    assert len(pickle.dumps(folded)) == size
    assert folded.state_dict().keys() == names
    for copied in (copy.deepcopy(folded), pickle.loads(pickle.dumps(folded))):
        assert torch.equal(copied(x), expected)
    assert not torch.equal(other(x), expected)
    other.load_state_dict(folded.state_dict())
    assert torch.equal(other(x), expected)


def test_a_counter_sees_the_usual_operators() -> None:
    """oneDNN's have no formula in torch.utils.flop_counter: nothing would be counted."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        fold(build(SMALL))(noise(1, 3, 64, 64))
    pixels = [16**2, 8**2, 4**2, 2**2]
    aggregates = sum(
        pixels[i] * NUM_GROUPS * stage.dim * stage.depth for i, stage in enumerate(SMALL.stages)
    )  # which the last convolution of each FFN reads
    assert counter.get_total_flops() / 2 == count_network(SMALL, (64, 64)).macs + aggregates


@pytest.mark.parametrize("img_size", [(64, 64), (50, 37)])
@pytest.mark.parametrize("layout", LAYOUTS, ids=["NCHW", "NHWC"])
def test_layouts_of_images_and_weights(img_size: tuple[int, int], layout: torch.memory_format) -> None:
    network, x = trained(SMALL), noise(2, 3, *img_size)
    folded = fold(network).to(memory_format=layout)
    for of_images in LAYOUTS:
        with torch.no_grad():
            assert error(folded(x.contiguous(memory_format=of_images)), network(x)) < 1e-5


def test_images_of_a_batch_do_not_mix() -> None:
    folded, x = fold(trained(SMALL)), noise(7, 3, 40, 50)
    with torch.inference_mode():
        whole = folded(x)
        for i in range(7):
            assert error(folded(x[i : i + 1])[0], whole[i]) < 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")
@every_switch
def test_compiled(switch: dict[str, Any]) -> None:
    torch.compiler.reset()
    folded = fold(trained(replace(SMALL, **switch)))
    compiled = torch.compile(folded, backend="aot_eager", fullgraph=True)
    for shape in ((2, 3, 64, 80), (1, 3, 50, 37)):
        with torch.inference_mode():
            assert error(compiled(noise(*shape)), folded(noise(*shape))) < 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler warns of things of its own
@every_switch
def test_compiled_to_machine_code(switch: dict[str, Any]) -> None:
    torch.compiler.reset()
    folded = fold(trained(replace(SMALL, **switch)))
    x = noise(2, folded.spec.in_chans, 50, 80)
    with torch.inference_mode():
        assert error(torch.compile(folded, dynamic=False)(x), folded(x)) < 1e-5


@some_switches
def test_exported_for_any_batch(switch: dict[str, Any]) -> None:
    folded = fold(trained(replace(SMALL, **switch)))
    batch = torch.export.Dim("batch", min=1, max=512)
    with torch.no_grad():
        program = torch.export.export(folded, (noise(2, 3, 50, 72),), dynamic_shapes=({0: batch},))
        called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
        assert not [name for name in called if "mkldnn" in name or "_." in name]  # packed, in place
        for B in (1, 3, 300):
            x = noise(B, 3, 50, 72)
            assert error(program.module()(x), folded(x)) < 1e-5


def test_it_takes_a_network_without_data() -> None:
    with torch.device("meta"):
        network = SAEViT(SMALL).eval()
    assert fold(network)(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 10)


def test_gradients_reach_the_image_through_the_folded_form() -> None:
    network, x = trained(SMALL), noise(2, 3, 64, 64)
    found = []
    for model in (network, fold(network)):
        image = x.clone().requires_grad_()
        model(image).square().sum().backward()
        assert image.grad is not None
        found.append(image.grad)
    assert error(found[1], found[0]) < 1e-4
