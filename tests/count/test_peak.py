"""The traced peak against sums of live tensors worked out by hand; fp32 unless said, so four bytes each."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.count.peak import MemoryWatch, Peak, trace_peak
from saevit.count.tracing import track_modules

PIXELS = 8 * 6
SHAPE = (2, 3, 8, 6)
SIZE = 4 * 2 * PIXELS  # bytes of one channel of the batch


def test_a_chain_holds_input_one_value_and_its_successor() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1))
    assert trace_peak(net, SHAPE) == Peak(bytes=SIZE * (3 + 5 + 5), path="1", op="aten::relu")


def test_in_place_writes_take_no_memory() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(5, 2, 1))
    assert trace_peak(net, SHAPE) == Peak(bytes=SIZE * (3 + 5 + 2), path="2", op="aten::convolution")


def test_views_are_free() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Flatten(2), nn.Unflatten(2, (6, 8)), nn.Conv2d(5, 1, 1))
    assert trace_peak(net, SHAPE).bytes == SIZE * (3 + 5 + 1)


class Residual(nn.Module):
    def __init__(self, dim: int = 3) -> None:
        super().__init__()
        self.wide = nn.Conv2d(dim, 7, 1)
        self.narrow = nn.Conv2d(7, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.narrow(self.wide(x))  # the input lives on: its caller holds it
        return x + 1


def test_a_residual_keeps_its_input() -> None:
    peak = trace_peak(nn.Sequential(nn.Identity(), Residual()), SHAPE)
    assert peak == Peak(bytes=SIZE * (3 + 7 + 3), path="1.narrow", op="aten::convolution")


def test_an_input_replaced_inside_a_module_still_lives_in_its_caller() -> None:
    class Overwrites(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x * 2
            x = x * 2  # input, first and second product
            return x * 2

    assert trace_peak(Overwrites(), SHAPE).bytes == SIZE * (3 + 3 + 3)


def test_the_input_alone_can_be_the_peak() -> None:
    assert trace_peak(nn.Identity(), SHAPE) == Peak(bytes=SIZE * 3, path="", op="")


def test_fused_attention_writes_no_scores() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x)

    sums = 4 * 2 * 3 * 8  # the kernel also returns one log-sum-exp for each query
    assert trace_peak(Attention(), SHAPE).bytes == SIZE * (3 + 3) + sums


def test_by_products_count_while_they_live() -> None:
    indices = 8 * 2 * 3 * 4 * 3  # int64
    assert trace_peak(nn.MaxPool2d(2), SHAPE).bytes == SIZE * 3 + SIZE * 3 // 4 + indices


def test_weights_and_their_views_are_left_out() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6, 100))
            self.register_buffer("shift", torch.ones(100))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight[:, :1] + self.shift[:1]  # type: ignore[index]

    assert trace_peak(Scaled(), SHAPE).bytes == SIZE * 3 + 2 * SIZE * 3 // 6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_bytes_follow_the_precision(dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Hardswish())
    assert trace_peak(net, SHAPE, dtype).bytes * 4 == trace_peak(net, SHAPE).bytes * dtype.itemsize


def test_two_runs_agree_and_leave_the_model_alone() -> None:
    net = Residual().train()
    keys, first = list(net.state_dict()), trace_peak(net, SHAPE)
    assert trace_peak(net, SHAPE) == first
    assert net.training
    assert list(net.state_dict()) == keys
    assert not net._forward_hooks
    assert all(p.requires_grad for p in net.parameters())


def test_a_model_built_without_memory_has_the_same_peak() -> None:
    assert trace_peak(Residual().to("meta"), SHAPE) == trace_peak(Residual(), SHAPE)


def test_real_tensors_live_exactly_as_long() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GELU(), Residual(8), nn.MaxPool2d(2)).eval()
    x = torch.zeros(SHAPE)
    with torch.no_grad(), track_modules(net) as running, MemoryWatch(running) as watch:
        watch.exempt(net)
        watch.see(x, "")
        net(x)
    assert watch.peak == trace_peak(net, SHAPE)
