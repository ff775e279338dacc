"""The counters against products of sizes worked out by hand. B batch, C channels, n m tokens, d width."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saevit.count import torch_counter
from saevit.count.fvcore_counter import count_fvcore
from saevit.count.operators import kind_of
from saevit.count.torch_counter import count_torch
from saevit.count.tracing import Count, order_channels_first, trace_shapes
from saevit.model.layers import Attend
from tests.counters import COUNTERS

ALL = tuple(COUNTERS)
FUNCTIONAL = ("torch", "fvcore")  # thop sees no functions


class Call(nn.Module):
    """A function of the input as a module."""

    def __init__(self, function: object, **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)  # type: ignore[operator, no-any-return]


CONV = {
    "dense": (nn.Conv2d(6, 10, 3), 2 * 10 * 7 * 5 * 6 * 9),
    "grouped": (nn.Conv2d(6, 10, 3, groups=2), 2 * 10 * 7 * 5 * 3 * 9),
    "depth-wise": (nn.Conv2d(6, 6, 3, groups=6, bias=False), 2 * 6 * 7 * 5 * 9),
    "strided": (nn.Conv2d(6, 10, 3, stride=2, padding=1), 2 * 10 * 5 * 4 * 6 * 9),
    "dilated": (nn.Conv2d(6, 10, 3, dilation=2), 2 * 10 * 5 * 3 * 6 * 9),
    "oblong": (nn.Conv2d(6, 10, (1, 5)), 2 * 10 * 9 * 3 * 6 * 5),
    "padding same": (nn.Conv2d(6, 10, 3, padding="same"), 2 * 10 * 9 * 7 * 6 * 9),
    "transposed": (nn.ConvTranspose2d(6, 10, 3, stride=2), 2 * 9 * 7 * 6 * 10 * 9),
    "transposed, grouped": (nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2), 2 * 9 * 7 * 6 * 2 * 4),
    "recovery": (nn.ConvTranspose2d(6, 6, 4, stride=4, groups=6, bias=False), 2 * 9 * 7 * 6 * 16),
}


@pytest.mark.parametrize("counter", ALL)
@pytest.mark.parametrize("name", CONV)
def test_convolution(counter: str, name: str) -> None:
    layer, macs = CONV[name]
    count = COUNTERS[counter](layer, (2, 6, 9, 7))
    assert count.macs == {"": macs}
    assert type(count.total) is int
    assert not count.uncounted


@pytest.mark.parametrize("counter", ALL)
def test_linear_of_two_to_four_dimensions(counter: str) -> None:
    net = Call(
        lambda self, x: self.a(self.b(self.c(x)).flatten(2)).flatten(1).sum() + self.d(x[:, 0, 0]),
        a=nn.Linear(12, 5),
        b=nn.Linear(7, 4),
        c=nn.Linear(8, 7),
        d=nn.Linear(8, 9, bias=False),
    )
    count = COUNTERS[counter](net, (2, 6, 3, 8))
    assert count.macs == {"a": 2 * 6 * 12 * 5, "b": 2 * 6 * 3 * 7 * 4, "c": 2 * 6 * 3 * 8 * 7, "d": 2 * 8 * 9}


def crossed(self: nn.Module, x: Tensor) -> Tensor:
    q, k, v = x[:, :3], x[:, :3, :7], x[:, 3:, :7]  # (2, 3, n=9, d=4), (2, 3, m=7, d=4)
    attend = dict(self.named_children()).get("attend", F.scaled_dot_product_attention)
    out: Tensor = attend(q, k, v)
    return out


@pytest.mark.parametrize("counter", ALL)
def test_attention_module_with_cross_lengths(counter: str) -> None:
    count = COUNTERS[counter](Call(crossed, attend=Attend()), (2, 6, 9, 4))
    assert count.macs == {"attend": 2 * (2 * 3 * 9 * 7 * 4)}
    if count.activations is not None:
        assert count.activations == {"attend": 2 * 3 * 9 * 4}  # the output, not the 9 x 7 scores


def test_attention_writes_its_output_alone_whatever_kernel_runs() -> None:
    net = Call(lambda self, x: self.attend(x.mT, x.mT, x[:, :, :3].mT), attend=Attend())  # no fused kernel
    count = count_torch(net, (2, 6, 9, 4))
    assert count.macs == {"attend": 2 * 6 * 4 * 4 * (9 + 3)}
    assert count.activations == {"attend": 2 * 6 * 4 * 3}
    assert count.apart == {}


@pytest.mark.parametrize("counter", FUNCTIONAL)
def test_functional_attention(counter: str) -> None:
    assert COUNTERS[counter](Call(crossed), (2, 6, 9, 4)).macs == {"": 2 * (2 * 3 * 9 * 7 * 4)}


def test_thop_cannot_see_functional_attention() -> None:
    assert COUNTERS["thop"](Call(crossed), (2, 6, 9, 4)).macs == {}


def masked(self: nn.Module, x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(9, 9))


def narrow_values(self: nn.Module, x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x[..., :3])


def causal(self: nn.Module, x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, is_causal=True)


def three_dimensional(self: nn.Module, x: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(x[0], x[0], x[0])


PRODUCTS = {
    "mask": (masked, 2 * 6 * 9 * 9 * 8),
    "narrow values": (narrow_values, 2 * 6 * 9 * 9 * (4 + 3)),
    "causal, counted dense": (causal, 2 * 6 * 9 * 9 * 8),
    "attention without batch": (three_dimensional, 6 * 9 * 9 * 8),
    "matmul": (lambda self, x: x @ x.mT, 2 * 6 * 9 * 4 * 9),
    "matmul, matrix first": (lambda self, x: x[0, 0].mT @ x, 2 * 6 * 4 * 9 * 4),
    "matmul, batch of one first": (lambda self, x: x[:1, :1] @ x.mT, 2 * 6 * 9 * 4 * 9),
    "matmul, vector last": (lambda self, x: x @ x[0, 0, 0], 2 * 6 * 9 * 4),
    "matmul, vector first": (lambda self, x: x[0, 0, :, 0] @ x, 2 * 6 * 9 * 4),
    "mv": (lambda self, x: x[0, 0] @ x[0, 0, 0], 9 * 4),
    "dot": (lambda self, x: x[0, 0, 0] @ x[0, 0, 1], 4),
    "mm": (lambda self, x: x[0, 0] @ x[0, 0].mT, 9 * 4 * 9),
    "addmm": (lambda self, x: torch.addmm(x.new_zeros(9), x[0, 0], x[0, 0].mT), 9 * 4 * 9),
    "addmv": (lambda self, x: torch.addmv(x.new_zeros(9), x[0, 0], x[0, 0, 0]), 9 * 4),
    "bmm": (lambda self, x: torch.bmm(x[0], x[0].mT), 6 * 9 * 4 * 9),
    "baddbmm": (lambda self, x: torch.baddbmm(x.new_zeros(1, 9, 9), x[0], x[0].mT), 6 * 9 * 4 * 9),
    "addbmm": (lambda self, x: torch.addbmm(x.new_zeros(9, 9), x[0], x[0].mT), 6 * 9 * 4 * 9),
    "einsum": (lambda self, x: torch.einsum("bhnd, bhmd -> bhnm", x, x), 2 * 6 * 9 * 4 * 9),
    "einsum over heads": (lambda self, x: torch.einsum("bhnd,ce->bcn", x, x[0, 0]), 0),
    "outer product": (lambda self, x: torch.einsum("bhnd,c->bhndc", x, x[0, 0, 0]), 0),
    "large einsum, to the last digit": (
        lambda self, x: torch.einsum("bhnd,kbhm->ndkm", x, x.new_zeros(101, 2, 6, 103)),
        9 * 4 * 101 * 103 * 2 * 6,
    ),
}


@pytest.mark.parametrize("counter", FUNCTIONAL)
@pytest.mark.parametrize("name", PRODUCTS)
def test_product(counter: str, name: str) -> None:
    function, macs = PRODUCTS[name]
    count = COUNTERS[counter](Call(function), (2, 6, 9, 4))
    assert count.total == macs
    assert not count.uncounted


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).mT  # (B, n, C)
        out: Tensor = self.mha(tokens, tokens, tokens, need_weights=False)[0]
        return out


@pytest.mark.parametrize("counter", FUNCTIONAL)
def test_multihead_attention_is_not_hidden_by_its_fast_path(counter: str) -> None:
    count = COUNTERS[counter](SelfAttention(), (3, 8, 5, 2))
    n = 10
    assert count.macs == {"mha": 3 * (n * 8 * 24 + 2 * n * n * 8 + n * 8 * 8)}
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("counter", ALL)
def test_a_shared_module_has_its_first_path_and_each_call_counts_once(counter: str) -> None:
    layer = nn.Conv2d(4, 4, 1)
    net = nn.Sequential(layer, nn.ReLU(), layer, nn.Sequential(layer))
    assert COUNTERS[counter](net, (2, 4, 3, 5)).macs == {"0": 3 * (2 * 4 * 4 * 3 * 5)}


@pytest.mark.parametrize("counter", ALL)
def test_modules_of_one_class_are_kept_apart(counter: str) -> None:
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 1)), nn.Sequential(nn.Conv2d(5, 2, 1)))
    assert COUNTERS[counter](net, (1, 3, 4, 4)).macs == {"0.0": 3 * 5 * 16, "1.0": 5 * 2 * 16}


class Subclass(nn.Conv2d):
    pass


@pytest.mark.parametrize("counter", ALL)
def test_a_subclass_is_what_it_inherits(counter: str) -> None:
    assert COUNTERS[counter](nn.Sequential(Subclass(3, 5, 1)), (1, 3, 4, 4)).macs == {"0": 3 * 5 * 16}


@pytest.mark.parametrize("counter", ALL)
def test_a_model_built_without_memory_or_in_half_precision_counts_the_same(counter: str) -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Hardswish())
    assert COUNTERS[counter](net, (2, 3, 6, 5)).macs == {"0": 2 * 3 * 5 * 9 * 4 * 3}
    assert COUNTERS[counter](net.bfloat16(), (2, 3, 6, 5)).macs == {"0": 2 * 3 * 5 * 9 * 4 * 3}


@pytest.mark.parametrize("counter", ALL)
def test_the_callers_modes_change_nothing(counter: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5))
    expected = COUNTERS[counter](net, (1, 3, 6, 6))
    with torch.inference_mode():
        assert COUNTERS[counter](net, (1, 3, 6, 6)) == expected
    with torch.no_grad():
        assert COUNTERS[counter](net, (1, 3, 6, 6)) == expected


def test_what_computes_without_contracting_is_counted_apart() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Hardswish(), nn.MaxPool2d(2), nn.Flatten(), nn.Softmax(1))
    count = count_torch(net, (2, 3, 6, 6))
    assert count.apart == {"hardswish": 2 * 5 * 16, "max_pool2d_with_indices": 2 * 5 * 4, "softmax": 2 * 20}
    assert count.activations == {"0": 2 * 5 * 16}


def test_modules_outside_the_model_belong_to_their_caller() -> None:
    hidden = [nn.Linear(4, 6)]
    assert count_torch(Call(lambda self, x: hidden[0](x)), (2, 3, 5, 4)).macs == {"": 2 * 3 * 5 * 24}


@pytest.fixture(scope="module")
def custom_op() -> str:
    @torch.library.custom_op("saevit_tests::mystery", mutates_args=())
    def mystery(x: Tensor) -> Tensor:
        return x + 1

    @mystery.register_fake
    def _(x: Tensor) -> Tensor:
        return torch.empty_like(x)

    return "saevit_tests::mystery"


@pytest.mark.parametrize("counter", [count_torch, count_fvcore])
def test_an_operator_without_a_formula_is_listed(counter: object, custom_op: str) -> None:
    net = Call(lambda self, x: torch.ops.saevit_tests.mystery(torch.ops.saevit_tests.mystery(x)) + 1)
    count: Count = counter(net, (1, 2, 3, 4))  # type: ignore[operator]
    assert count.total == 0
    assert count.uncounted == {custom_op: 2}


def test_a_fourier_transform_is_listed() -> None:
    def transform(self: nn.Module, x: Tensor) -> Tensor:
        spectrum: Tensor = torch.fft.rfft2(x)
        return spectrum.abs()

    assert sum(count_torch(Call(transform), (1, 2, 4, 4)).uncounted.values()) == 1
    assert count_fvcore(Call(transform), (1, 2, 4, 4)).uncounted == {"aten::fft_rfft2": 1}


def test_fvcore_lists_an_einsum_of_three_operands() -> None:
    net = Call(lambda self, x: torch.einsum("bhn,bhm,bhk->nmk", x[..., 0], x[..., 1], x[..., 2]))
    assert count_fvcore(net, (2, 3, 4, 5)).uncounted == {"aten::einsum": 1}


def test_thop_lists_modules_with_matrices_and_no_rule() -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight

    net = nn.Sequential(Weighted(), nn.LayerNorm((6, 8)), SelfAttention())
    assert COUNTERS["thop"](net, (2, 8, 6, 8)).uncounted == {"Weighted": 1, "MultiheadAttention": 1}


def fused_attention_packets() -> list[str]:
    names = [name for name in dir(torch.ops.aten) if name.startswith("_scaled_dot_product_")]
    return [name for name in names if not name.endswith(("_backward", "_math"))]


def test_every_fused_attention_operator_of_this_torch_has_a_formula() -> None:
    known = torch_counter.Ledger([]).formulas
    packets = [getattr(torch.ops.aten, name) for name in fused_attention_packets()]
    assert all(packet in known for packet in packets if packet.overloads())


@pytest.mark.parametrize(
    "name",
    [
        "aten::relu_", "aten::add", "aten::gelu", "aten::_softmax", "aten::native_batch_norm", "aten::mean",
        "aten::adaptive_avg_pool2d", "aten::hardswish_", "aten::sum", "aten::upsample_bilinear2d",
    ],
)  # fmt: skip
def test_known_arithmetic(name: str) -> None:
    assert kind_of(name) == "arithmetic"


@pytest.mark.parametrize("name", ["aten::view", "aten::clone", "aten::cat", "aten::_to_copy", "prim::device"])
def test_known_movement(name: str) -> None:
    assert kind_of(name) == "movement"


@pytest.mark.parametrize(
    "name",
    [
        "aten::mm", "aten::convolution", "aten::_trilinear", "aten::cdist", "aten::lstm", "aten::fft_fft2",
        "aten::no_such_operator", "mine::relu", "prim::PythonOp.Doubled", "aten::linalg_multi_dot",
        "aten::einsum", "aten::matmul", "aten::linear", "aten::scaled_dot_product_attention",
    ],
)  # fmt: skip
def test_what_may_contract_is_unknown(name: str) -> None:
    assert kind_of(name) == "unknown"


def test_output_shapes() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(2), nn.Flatten(), nn.Linear(60, 7))
    assert trace_shapes(net, (2, 3, 6, 5)) == {
        "": (7, 1, 1),
        "0": (5, 4, 3),
        "2": (60, 1, 1),
        "3": (7, 1, 1),
    }


@pytest.mark.parametrize(
    ("sides", "size", "expected"),
    [
        ((96, 64, 64), (256, 256), (96, 64, 64)),
        ((64, 64, 96), (256, 256), (96, 64, 64)),  # channels last, as Swin's stages
        ((768, 8, 6), (256, 192), (768, 8, 6)),
        ((8, 6, 768), (256, 192), (768, 8, 6)),
        ((1000, 1, 1), (224, 224), (1000, 1, 1)),
    ],
)
def test_channels_are_found_first_or_last(
    sides: tuple[int, ...], size: tuple[int, int], expected: tuple[int, ...]
) -> None:
    assert order_channels_first(sides, (1, 3, *size)) == expected
