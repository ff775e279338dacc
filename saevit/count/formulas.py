"""Cost of one layer in closed form, per image. Every size may be an int or an int64 array.

Units: params in numbers, macs in multiply-accumulates of contractions (convolution, linear, attention
products), activations in elements written by those, elementwise in elements written by everything else that
does arithmetic (norm, activation, pooling, softmax, additions). Copies, views and padding are none of them.
"""

from dataclasses import dataclass
from typing import Any

Size = Any  # int, or numpy int64 array


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a layer costs; costs of layers add up."""

    params: Size = 0
    macs: Size = 0
    activations: Size = 0
    elementwise: Size = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            params=self.params + other.params,
            macs=self.macs + other.macs,
            activations=self.activations + other.activations,
            elementwise=self.elementwise + other.elementwise,
        )

    def __mul__(self, times: Size) -> "Cost":
        return Cost(
            params=self.params * times,
            macs=self.macs * times,
            activations=self.activations * times,
            elementwise=self.elementwise * times,
        )


def conv(c_in: Size, c_out: Size, k: int, hw: Size, *, groups: Size = 1, bias: bool = False) -> Cost:
    """Convolution k x k that writes hw pixels."""
    weight = k * k * (c_in // groups) * c_out
    return Cost(params=weight + c_out * bias, macs=weight * hw, activations=c_out * hw)


def dw_conv(dim: Size, k: int, hw: Size, *, bias: bool = False) -> Cost:
    """Depth-wise convolution k x k that writes hw pixels."""
    return conv(dim, dim, k, hw, groups=dim, bias=bias)


def linear(c_in: Size, c_out: Size) -> Cost:
    """Linear layer with bias, on one vector."""
    return Cost(params=(c_in + 1) * c_out, macs=c_in * c_out, activations=c_out)


def attention(dim: Size, key_dim: Size, n: Size) -> Cost:
    """The products q k^T and a v of n tokens with themselves; it writes a v.

    dim and key_dim are the channels of values and of keys, all heads together.
    """
    return Cost(macs=n * n * (dim + key_dim), activations=n * dim)


def norm(dim: Size, hw: Size) -> Cost:
    """BatchNorm: one scale and one shift a channel."""
    return Cost(params=2 * dim, elementwise=dim * hw)


def elementwise(elements: Size) -> Cost:
    """Anything without weights that writes so many elements."""
    return Cost(elementwise=elements)
