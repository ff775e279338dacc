"""The convolution with oneDNN's operators computes what torch's own does, and follows its weights."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from saevit.model import packed_conv
from saevit.model.packed_conv import ACTS, PackedConv, has_kernels
from tests.model.networks import error, noise

needs_kernels = pytest.mark.skipif(
    not has_kernels(torch.ones(1), torch.ones(1)), reason="this torch has no oneDNN operators here"
)
BOUNDS = {torch.float64: 1e-14, torch.float32: 1e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def layer_of(C: int, out: int, kernel: int = 1, *, depth_wise: bool = False, **more: object) -> PackedConv:
    torch.manual_seed(0)
    conv = nn.Conv2d(C, out, kernel, groups=C if depth_wise else 1)
    return PackedConv(conv.weight, conv.bias, groups=conv.groups, **more).requires_grad_(False)


def expected_of(layer: PackedConv, x: Tensor, to: Tensor | None = None) -> Tensor:
    """In float64, as anyone would write it."""
    weight, bias = layer.weight.double(), None if layer.bias is None else layer.bias.double()
    padding = layer.weight.shape[-1] // 2
    y = F.conv2d(x.double(), weight, bias, layer.stride, padding, 1, layer.groups)
    return ACTS[layer.act][0](y) if to is None else to.double() + y


@settings(max_examples=150, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
    kernel=st.sampled_from([(1, 1), (1, 1), (3, 1), (3, 2), (5, 1)]),
    depth_wise=st.booleans(),
    has_bias=st.booleans(),
    act=st.sampled_from([None, *list(ACTS)]),
    adds=st.booleans(),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    dtype=st.sampled_from(list(BOUNDS)),
)
def test_it_is_a_convolution(
    channels: tuple[int, int],
    size: tuple[int, int, int],
    kernel: tuple[int, int],
    depth_wise: bool,
    has_bias: bool,
    act: type[nn.Module] | None,
    adds: bool,
    layouts: tuple[torch.memory_format, ...],
    dtype: torch.dtype,
) -> None:
    C, out = (channels[0], channels[0]) if depth_wise else channels
    side, stride = kernel
    layer = layer_of(C, out, side, depth_wise=depth_wise, stride=stride, act=None if adds else act)
    if not has_bias:
        layer.bias = None
    layer = layer.to(dtype).to(memory_format=layouts[0])
    x = noise(size[0], C, *size[1:]).to(dtype).contiguous(memory_format=layouts[1])
    shape = (size[0], out, *(-(-length // stride) for length in size[1:]))
    to = noise(*shape).to(dtype).contiguous(memory_format=layouts[2]) if adds else None
    before = x.clone()
    y = layer(x, to)
    assert y.shape == shape
    assert y.dtype == dtype
    assert torch.equal(x, before)
    expected = expected_of(layer, x, to)
    scale = expected_of(
        PackedConv(layer.weight.abs(), layer.bias, stride=stride, groups=layer.groups), x.abs()
    )
    assert ((y.double() - expected).abs() <= BOUNDS[dtype] * (1 + scale.abs() + expected.abs())).all()


@needs_kernels
@pytest.mark.parametrize("kernel", [1, 3])
def test_the_packed_weight_is_remade_when_the_weight_the_bias_or_the_size_changes(kernel: int) -> None:
    layer, other = layer_of(20, 24, kernel), layer_of(20, 24, kernel)
    x, wide = noise(2, 20, 6, 6), noise(1, 20, 4, 9)
    for y in (x, wide, x):
        assert error(layer(y), expected_of(layer, y)) < 1e-6
    kept = layer.kernel
    assert torch.equal(layer(x), layer(noise(2, 20, 6, 6)))
    assert layer.kernel is kept
    with torch.no_grad():
        layer.weight.mul_(2)
        layer.bias.add_(1)
    assert error(layer(x), expected_of(layer, x)) < 1e-6
    with torch.no_grad():
        layer.bias.mul_(3)  # it is not packed, and no weight changes with it
    assert error(layer(x), expected_of(layer, x)) < 1e-6
    other.weight.data *= 5
    layer.load_state_dict(other.state_dict())
    assert error(layer(x), expected_of(other, x)) < 1e-6
    layer.weight, layer.bias = nn.Parameter(other.weight * 2), nn.Parameter(other.bias * 2)
    assert error(layer(x), 2 * expected_of(other, x)) < 1e-6
    assert error(layer.double()(x.double()), expected_of(layer, x)) < 1e-14
    assert error(layer.float()(x), expected_of(layer, x)) < 1e-6


@needs_kernels
def test_a_weight_packed_for_one_size_is_not_taken_for_another() -> None:
    """It would be right and may be many times slower, so no result shows it."""
    layer, x, wide = layer_of(20, 24, 3), noise(2, 20, 6, 6), noise(1, 20, 4, 9)
    layer(x)
    packed = layer.kernel
    layer(wide)
    assert layer.kernel is not packed


@needs_kernels
def test_copies_and_files_leave_the_packed_weight_out() -> None:
    layer, x = layer_of(20, 24), noise(2, 20, 6, 6)
    y = layer(x)
    assert layer.kernel is not None
    assert layer.state_dict().keys() == {"weight", "bias"}
    for copied in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert copied.kernel is None
        assert torch.equal(copied(x), y)


def called(run: Callable[[], object]) -> set[str]:
    """The operators that ran."""
    with profile() as seen:
        run()
    return {event.key for event in seen.key_averages()}


@needs_kernels
def test_onednn_computes_in_inference_and_torch_where_someone_looks_on() -> None:
    layer, x = layer_of(20, 24, act=nn.ReLU), noise(2, 20, 6, 6)
    with torch.inference_mode():
        assert "mkldnn::_linear_pointwise" in called(lambda: layer(x))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        assert "aten::conv2d" in called(lambda: layer(x))
    assert counter.get_total_flops() == 2 * 2 * 20 * 24 * 36
    program = torch.export.export(layer, (x,))
    assert not [node for node in program.graph.nodes if "mkldnn" in str(node.target)]


def test_gradients_reach_the_image() -> None:
    layer, x = layer_of(20, 24, 3, act=nn.ReLU), noise(2, 20, 6, 6).requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    expected = x.detach().double().requires_grad_()
    expected_of(layer, expected).sum().backward()
    assert expected.grad is not None
    assert error(x.grad, expected.grad) < 1e-6


def test_autocast_keeps_its_precision() -> None:
    layer, x = layer_of(20, 24), noise(2, 20, 6, 6)
    layer(x)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        assert y.dtype == torch.bfloat16
        assert error(layer(y[:, :20]), expected_of(layer, y[:, :20])) < 1e-2


def test_an_activation_that_onednn_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTS, nn.Mish, (F.mish, "", ""))
    for kernel in (1, 3):
        layer, x = layer_of(20, 24, kernel, act=nn.Mish), noise(2, 20, 6, 6)
        plain = F.conv2d(x, layer.weight, layer.bias, padding=kernel // 2)
        assert error(layer(x), F.mish(plain)) < 1e-6


def test_without_onednn_it_is_torchs_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_conv, "_DTYPES", ())
    layer, x = layer_of(20, 24, act=nn.Hardswish), noise(2, 20, 6, 6)
    assert error(layer(x), expected_of(layer, x)) < 1e-6
    assert layer.kernel is None
