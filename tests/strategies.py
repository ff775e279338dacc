"""Random variants for property-based tests: every key of the grammar, every switch."""

from hypothesis import strategies as st

from saevit.variant import KEYS, VariantSpec


def four(values: st.SearchStrategy) -> st.SearchStrategy:
    """Four values, one per stage."""
    return st.tuples(values, values, values, values)


@st.composite
def specs(draw: st.DrawFn) -> VariantSpec:
    """Draw a small variant; channels are multiples of the heads, not of 8, unless width rounds them."""
    heads = draw(four(st.integers(1, 4)))
    dims = tuple(h * draw(st.integers(1, 6)) for h in heads)
    return VariantSpec(
        dims=dims,
        depths=draw(four(st.integers(1, 3))),
        num_heads=heads,
        ratios=draw(four(st.sampled_from([0.5, 1.0, 2.0, 2.5, 3.0, 4.0]))),
        rates=draw(four(st.sampled_from([1, 1, 2, 3, 4, 7, 8]))),
        width=draw(st.sampled_from([1.0, 1.0, 0.5, 0.75, 1.25, 2.0])),
        depth=draw(st.sampled_from([1.0, 1.0, 0.5, 1.5])),
        attn_blocks=draw(four(st.integers(0, 3))),
        stem=draw(st.integers(1, 20)),
        key_dim=draw(st.sampled_from([1, 2, 3, 4, 8, 16])),
        kernel=draw(st.sampled_from([3, 5])),
        act=draw(st.sampled_from(KEYS["act"].choices)),
        attention=draw(st.sampled_from(KEYS["attention"].choices)),
        sampling=draw(st.sampled_from(KEYS["sampling"].choices)),
        ffn=draw(st.sampled_from(KEYS["ffn"].choices)),
        local=draw(st.sampled_from(KEYS["local"].choices)),
        num_classes=draw(st.sampled_from([0, 1, 10, 1000])),
        in_chans=draw(st.integers(1, 4)),
        drop_path_rate=draw(st.sampled_from([0.0, 0.1])),
    )


def img_sizes(largest: int = 200) -> st.SearchStrategy:
    """Draw H and W of 32 px or more: odd, non-square, not divisible by anything in particular."""
    side = st.integers(32, largest)
    return st.tuples(side, side)
