"""Peak memory in closed form against a trace of the network."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from saevit.count.memory import largest, peak_elements
from saevit.count.peak import traced_peak
from saevit.count.subject import variant_skeleton
from saevit.variant import VariantSpec, parse
from tests.strategies import img_sizes, specs

FP32 = 4  # bytes


@settings(max_examples=60, deadline=None)
@given(specs(), img_sizes(160))
@example(parse("saevit_tiny"), (224, 224))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,rates=1"), (97, 131))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,sampling=stride"), (97, 131))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,rates=3"), (97, 131))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,sampling=mix,dims=96,heads=1"), (97, 131))
@example(parse("saevit_tiny:ffn=mlp,ratios=0.5,dims=64,heads=4,rates=256,attn_blocks=9"), (64, 48))
def test_closed_form_equals_the_trace(spec: VariantSpec, img_size: tuple[int, int]) -> None:
    traced = traced_peak(variant_skeleton(spec), (1, spec.in_chans, *img_size))
    assert peak_elements(spec, img_size) * FP32 == traced.bytes


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_largest(sizes: list[int]) -> None:
    assert largest(*sizes) == max(sizes)
