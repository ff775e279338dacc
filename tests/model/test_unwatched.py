"""Where nothing looks on, other operators compute the layers: the same values, and only there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.module import register_module_forward_hook
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from saevit.model import onednn
from saevit.model.pyramid import build
from saevit.model.unwatched import pointwise, recover
from saevit.spec import VariantSpec
from tests.model.test_fuse import error, noise
from tests.strategies import img_sizes, specs

CHANNELS_LAST = {"memory_format": torch.channels_last}
needs_onednn = pytest.mark.skipif(
    not onednn.usable(torch.ones(1)), reason="this torch has no oneDNN operators here"
)


def expand() -> nn.Conv2d:
    return nn.Conv2d(6, 10, 1).to(**CHANNELS_LAST)


def image(*shape: int) -> Tensor:
    return noise(*shape).contiguous(**CHANNELS_LAST)


def called(run: Callable[[], object]) -> set[str]:
    """The operators that ran."""
    with profile() as seen:
        run()
    return {event.key for event in seen.key_averages()}


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 20),
    st.booleans(),
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
def test_a_convolution_is_what_the_layer_computes(
    shape: tuple[int, int, int, int],
    out: int,
    has_bias: bool,
    layout: torch.memory_format,
    dtype: torch.dtype,
) -> None:
    layer = nn.Conv2d(shape[1], out, 1, bias=has_bias).to(dtype)
    x = noise(*shape).to(dtype).contiguous(memory_format=layout)
    with torch.inference_mode():
        y, wanted = pointwise(layer, x), layer(x)
    assert y.shape == wanted.shape
    assert y.dtype == dtype
    assert y.stride() == wanted.stride() or 1 in y.shape
    torch.testing.assert_close(y, wanted)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 8),
    st.sampled_from([torch.contiguous_format, torch.channels_last]),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
def test_recovery_is_what_the_layer_computes(
    shape: tuple[int, int, int, int], rate: int, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    C = shape[1]
    layer = nn.ConvTranspose2d(C, C, rate, stride=rate, groups=C, bias=False).to(dtype)
    y = noise(*shape).to(dtype).contiguous(memory_format=layout)
    with torch.inference_mode():
        z, wanted = recover(layer, y), layer(y)
    assert z.stride() == wanted.stride() or 1 in z.shape
    torch.testing.assert_close(z, wanted)


@settings(max_examples=25, deadline=None)
@given(specs(), img_sizes(80))
def test_a_network_computes_the_same_with_and_without_gradients(
    spec: VariantSpec, img_size: tuple[int, int]
) -> None:
    model, x = build(spec).to(**CHANNELS_LAST), image(2, spec.in_chans, *img_size)
    wanted = model(x)
    with torch.inference_mode():
        assert error(model(x), wanted) < 1e-5


@needs_onednn
def test_unwatched_no_convolution_runs() -> None:
    conv, x = expand(), image(2, 6, 5, 7)
    deconv = nn.ConvTranspose2d(6, 6, 2, stride=2, groups=6, bias=False)
    with torch.inference_mode():
        ran = called(lambda: (pointwise(conv, x), recover(deconv, x)))
    assert "mkldnn::_linear_pointwise" in ran
    assert not [name for name in ran if "conv" in name]


@contextmanager
def hooked(layer: nn.Module) -> Iterator[None]:
    with layer.register_forward_hook(lambda *_: None):
        yield


@contextmanager
def entered(layer: nn.Module) -> Iterator[None]:
    with layer.register_forward_pre_hook(lambda *_: None):
        yield


@contextmanager
def hooked_everywhere(_layer: nn.Module) -> Iterator[None]:
    with register_module_forward_hook(lambda *_: None):
        yield


@contextmanager
def replaced(layer: nn.Module) -> Iterator[None]:
    layer.forward = type(layer).forward.__get__(layer)  # type: ignore[method-assign]
    yield


@contextmanager
def counted(_layer: nn.Module) -> Iterator[None]:
    counter = FlopCounterMode(display=False)
    with counter:
        yield
    assert counter.get_total_flops() == 2 * 2 * 6 * 10 * 5 * 7


@contextmanager
def of_another_class(layer: nn.Module) -> Iterator[None]:
    layer.__class__ = type("Mine", (nn.Conv2d,), {})
    yield


@contextmanager
def with_autocast(_layer: nn.Module) -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16):
        yield


@pytest.mark.parametrize(
    "look_on", [hooked, entered, hooked_everywhere, replaced, counted, of_another_class, with_autocast]
)
def test_an_onlooker_sees_the_layer_itself(look_on: Callable[[nn.Module], object]) -> None:
    layer, x = expand(), image(2, 6, 5, 7)

    def run() -> None:
        with look_on(layer):  # type: ignore[attr-defined]
            pointwise(layer, x)

    with torch.inference_mode():
        assert "aten::conv2d" in called(run)


def test_autocast_keeps_its_precision() -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert pointwise(expand(), image(2, 6, 5, 7)).dtype == torch.bfloat16


def test_gradients_pass() -> None:
    layer, x = expand(), image(2, 6, 5, 7).requires_grad_()
    pointwise(layer, x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")
def test_forward_mode_gradients_pass_without_backward_ones() -> None:
    layer, x = expand(), image(2, 6, 5, 7)
    with torch.no_grad(), forward_ad.dual_level():
        y = pointwise(layer, forward_ad.make_dual(x, torch.ones_like(x)))
        tangent = forward_ad.unpack_dual(y).tangent
    assert tangent is not None
    assert tangent.abs().sum() > 0


def test_a_weight_changed_behind_autograds_back_counts_at_once() -> None:
    layer, x = expand(), image(2, 6, 5, 7)
    with torch.inference_mode():
        before = pointwise(layer, x)
        layer.weight.data.mul_(2)
        layer.bias.data.mul_(2)  # type: ignore[union-attr]
        torch.testing.assert_close(pointwise(layer, x), 2 * before)
