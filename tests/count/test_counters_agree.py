"""All counters on one small hybrid: they agree by path, explain their tool, and leave the model alone."""

import copy
import logging
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from saevit.count.fvcore_counter import count_fvcore
from saevit.count.receipt import compare_counts, explain_unseen
from saevit.count.thop_counter import count_thop
from saevit.count.torch_counter import count_torch
from saevit.count.tracing import Count, need_quietly, run_eagerly
from saevit.model.layers import Attend
from tests.counters import COUNTERS


class Hybrid(nn.Module):
    """Convolution, sampling, attention and recovery, as in SAEViT. (B, C, H, W) -> (B, classes)."""

    def __init__(self, chans: int, dim: int, heads: int, rate: int, classes: int) -> None:
        super().__init__()
        self.heads, self.rate = heads, rate
        self.stem = nn.Sequential(
            nn.Conv2d(chans, dim, 3, stride=2, padding=1), nn.BatchNorm2d(dim), nn.Hardswish()
        )
        self.score = nn.Conv2d(dim, 1, 1)
        self.qkv = nn.Conv2d(dim, 3 * dim, 1)
        self.attend = Attend()
        self.recover = nn.ConvTranspose2d(dim, dim, rate, stride=rate, groups=dim, bias=False)
        self.dw = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.act = nn.GELU()
        self.gamma = nn.Parameter(torch.ones(dim, 1, 1))
        self.fc = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        H, W = x.shape[2:]
        z = F.avg_pool2d(x * self.score(x).flatten(2).softmax(2).view(-1, 1, H, W), self.rate, ceil_mode=True)
        B, C, h, w = z.shape
        q, k, v = self.qkv(z).view(B, 3, self.heads, C // self.heads, h * w).mT.unbind(1)
        y = self.attend(q, k, v).mT.reshape(B, C, h, w)
        x = x + self.recover(y)[:, :, :H, :W]
        x = x + self.gamma * self.act(self.dw(x))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def amounts(count: Count) -> int:
    """The sum of the amounts that end the reasons."""
    return sum(int(reason.rpartition(": ")[2].replace(",", "")) for reason in count.reasons)


def by_hand(net: Hybrid, B: int, chans: int, height: int, width: int) -> dict[str, int]:
    C, r = net.fc.in_features, net.rate
    H, W = (height + 1) // 2, (width + 1) // 2
    N, n = H * W, -(-H // r) * -(-W // r)
    return {
        "stem.0": B * N * C * chans * 9,
        "score": B * N * C,
        "qkv": B * n * C * 3 * C,
        "attend": 2 * B * n * n * C,
        "recover": B * n * C * r * r,
        "dw": B * N * C * 9,
        "fc": B * C * net.fc.out_features,
    }


@settings(max_examples=12, deadline=None)
@given(
    batch=st.integers(1, 3),
    chans=st.integers(1, 4),
    heads=st.integers(1, 3),
    width=st.integers(1, 4),
    rate=st.integers(1, 4),
    size=st.tuples(st.integers(5, 23), st.integers(5, 23)),
)
def test_all_counters_agree_path_by_path(
    batch: int, chans: int, heads: int, width: int, rate: int, size: tuple[int, int]
) -> None:
    net = Hybrid(chans, heads * width, heads, rate, classes=5)
    expected = by_hand(net, batch, chans, *size)
    for counter in COUNTERS.values():
        count = counter(net, (batch, chans, *size))
        assert count.macs == expected, count.counter
        assert count.uncounted == {}
        assert count.out_of_box is not None
        assert amounts(count) == count.out_of_box - count.total
        assert compare_counts(count.macs, count_torch(net, (batch, chans, *size)).macs) == {}


def hybrid() -> Hybrid:
    return Hybrid(3, 12, 3, 2, classes=7)


SHAPE = (2, 3, 22, 18)


def test_torch_equals_flop_counter_mode_run_alone() -> None:
    net = hybrid().eval().requires_grad_(False)
    with run_eagerly(), torch.device("meta"):
        mode = FlopCounterMode(display=False)
        with mode:
            copy.deepcopy(net).to("meta")(torch.empty(SHAPE))
    assert count_torch(net, SHAPE).total * 2 == mode.get_total_flops()


def test_torch_as_it_comes_is_what_it_says_on_this_cpu() -> None:
    net = hybrid().eval().requires_grad_(False)
    with FlopCounterMode(display=False) as mode:
        net(torch.zeros(SHAPE))
    count = count_torch(net, SHAPE)
    assert count.out_of_box == mode.get_total_flops() // 2
    sees_attention = "attend" not in "".join(count.reasons) and not count.reasons
    assert sees_attention == (count.out_of_box == count.total)


def test_fvcore_as_it_comes() -> None:
    net = hybrid().eval()
    analysis = need_quietly("fvcore.nn").FlopCountAnalysis(net, torch.zeros(SHAPE))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    count = count_fvcore(net, SHAPE)
    assert count.out_of_box == analysis.total() != count.total
    pixels = 2 * 12 * 11 * 9
    assert count.reasons == (
        f"scaled_dot_product_attention is not seen: -{count.macs['attend']:,}",
        f"batch_norm is counted, but contracts nothing: +{2 * pixels:,}",
    )


def test_thop_as_it_comes() -> None:
    net = hybrid().eval()
    total, _ = need_quietly("thop").profile(copy.deepcopy(net), (torch.zeros(SHAPE),), verbose=False)
    count = count_thop(net, SHAPE)
    assert count.out_of_box == total != count.total
    extra = count.macs["recover"] * 3  # r r - 1 times more
    assert set(count.reasons) == {
        f"BatchNorm2d is counted, but contracts nothing: +{4 * 2 * 12 * 11 * 9:,}",
        f"ConvTranspose2d is counted at every output position, not at every input position: +{extra:,}",
        f"Attend has no rule, so it is not seen: -{count.macs['attend']:,}",
    }


def test_thop_as_it_comes_counts_shared_modules_again() -> None:
    layer = nn.Conv2d(4, 4, 1)
    net = nn.Sequential(layer, nn.Sequential(layer))
    total, _ = need_quietly("thop").profile(copy.deepcopy(net), (torch.zeros(1, 4, 3, 3),), verbose=False)
    count = count_thop(net, (1, 4, 3, 3))
    assert (count.total, count.out_of_box) == (2 * 144, total)
    assert count.reasons == (
        f"Conv2d is shared, and counted again for each of its paths: +{int(total) - 288:,}",
    )


def test_fvcore_as_it_comes_may_fail_where_ours_does_not() -> None:
    class VectorProduct(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ x[0, 0, 0]

    count = count_fvcore(VectorProduct(), (1, 2, 3, 4))
    assert count.total == 24
    assert count.out_of_box is None
    assert count.reasons == ()
    assert "aten::matmul" in count.notes[0]


def test_what_is_invisible_to_thop_is_said() -> None:
    class Functional(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x)

    net = nn.Sequential(nn.Conv2d(4, 4, 1), Functional())
    seen, truth = count_thop(net, (1, 4, 3, 5)), count_torch(net, (1, 4, 3, 5))
    assert compare_counts(seen.macs, truth.macs) == {"1": -2 * 4 * 3 * 3 * 5}
    remark = explain_unseen(seen, truth)
    assert remark is not None
    assert remark.startswith("functional attention")
    assert remark.endswith("360 MACs in 1")
    assert explain_unseen(truth, truth) is None


class LooksAtData(nn.Module):
    """A model that no shape alone can run."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y * 2 if y.sum().item() > 0 else y


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_model_that_looks_at_data_runs_on_real_tensors(counter: str) -> None:
    count = COUNTERS[counter](LooksAtData(), (1, 3, 5, 5))
    assert count.macs == {"conv": 300}
    assert counter == "fvcore" or "real tensors" in count.notes[0]


@pytest.mark.parametrize("counter", COUNTERS)
def test_an_input_that_does_not_fit_is_an_error(counter: str) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        COUNTERS[counter](nn.Conv2d(3, 4, 1), (1, 5, 6, 6))


def facts(net: nn.Module) -> Iterator[object]:
    """Everything about a model that counting could disturb."""
    for path, module in net.named_modules():
        yield (
            path,
            module.training,
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            list(module._buffers),
        )
    for path, tensor in net.state_dict(keep_vars=True).items():
        yield (
            path,
            id(tensor),
            tensor.requires_grad,
            tensor.device,
            tensor.dtype,
            tensor.detach().clone().tolist(),
        )


@pytest.mark.parametrize("counter", COUNTERS)
def test_the_model_is_not_touched(counter: str) -> None:
    net = nn.Sequential(Hybrid(3, 12, 3, 2, 7).train(), nn.BatchNorm1d(7).eval())
    net[0].fc.requires_grad_(False)
    before, grad, rng = list(facts(net)), torch.is_grad_enabled(), torch.random.get_rng_state()
    COUNTERS[counter](net, SHAPE)
    assert list(facts(net)) == before
    assert torch.is_grad_enabled() == grad
    assert torch.equal(torch.random.get_rng_state(), rng)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("counter", COUNTERS)
def test_counting_twice_gives_the_same(counter: str) -> None:
    net = hybrid()
    assert COUNTERS[counter](net, SHAPE) == COUNTERS[counter](net, SHAPE)


@pytest.mark.parametrize("counter", COUNTERS)
def test_counting_prints_nothing(counter: str, capfd: pytest.CaptureFixture[str]) -> None:
    COUNTERS[counter](hybrid(), SHAPE)
    assert capfd.readouterr() == ("", "")


def test_thop_gives_the_process_no_logger(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger().handlers)
    logging.getLogger().handlers.clear()
    try:
        net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Upsample(scale_factor=2, mode="nearest-exact"))
        count = count_thop(net, SHAPE)
        assert not logging.getLogger().handlers
    finally:
        logging.getLogger().handlers.extend(handlers)
    assert count.total == 2 * 12 * 22 * 18
    assert capfd.readouterr() == ("", "")
