"""The named variants. Budgets are GMACs at 224 px: 0.2, 0.4, 0.8, 1.3 and 2.6, each within 1 %."""

from saevit.spec import VariantSpec

# tiny and small stand at the two budgets that the paper's abstract claims (0.8 and 1.3 GFLOPs, read as
# GMACs as this literature does); all sizes are our decision. Rates 8-4-2-1 leave 49 tokens at 224 px.
PRESETS = {
    "saevit_pico": VariantSpec(
        dims=(24, 48, 96, 176),
        depths=(2, 2, 5, 2),
        num_heads=(1, 2, 3, 4),
        ratios=(3, 3, 3, 3),
        rates=(8, 4, 2, 1),
    ),
    "saevit_nano": VariantSpec(
        dims=(32, 64, 128, 224),
        depths=(2, 2, 7, 2),
        num_heads=(1, 2, 4, 7),
        ratios=(3, 3, 3, 4),
        rates=(8, 4, 2, 1),
    ),
    "saevit_tiny": VariantSpec(
        dims=(48, 96, 192, 320),
        depths=(2, 2, 6, 2),
        num_heads=(1, 3, 6, 10),
        ratios=(3, 3, 3, 4),
        rates=(8, 4, 2, 1),
    ),
    "saevit_small": VariantSpec(
        dims=(56, 112, 224, 384),
        depths=(2, 2, 8, 3),
        num_heads=(1, 2, 7, 12),
        ratios=(3, 3, 3, 3),
        rates=(8, 4, 2, 1),
    ),
    "saevit_base": VariantSpec(
        dims=(72, 144, 288, 504),
        depths=(2, 3, 10, 3),
        num_heads=(2, 4, 8, 14),
        ratios=(3, 3, 3, 4),
        rates=(8, 4, 2, 1),
    ),
}
