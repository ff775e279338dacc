"""What each module of a variant writes, in closed form: the twin of a forward pass, without torch.

A shape is (channels, height, width) for one image.
"""

from saevit.count.cost import half, stem_size
from saevit.variant import NUM_GROUPS, Stage, VariantSpec

Shape = tuple[int, int, int]

CONV_NORM = ("", ".conv", ".norm")  # paths in a `layers.ConvNorm`


def by_module(spec: VariantSpec, img_size: tuple[int, int]) -> dict[str, Shape]:
    """Return the output shape of every module that `analytic.by_module` names, and of its parents."""
    H, W = stem_size(img_size)
    first = (spec.stem_dim, half(img_size[0]), half(img_size[1]))
    last = (spec.stages[0].dim, H, W)
    shapes = {f"stem.conv1{end}": first for end in CONV_NORM} | {"stem.act": first}
    shapes |= {f"stem.conv2{end}": last for end in CONV_NORM} | {"stem": last}
    for i, stage in enumerate(spec.stages):
        if i:
            H, W = half(H), half(W)
            shapes |= {f"stages.{i}.downsample{end}": (stage.dim, H, W) for end in CONV_NORM}
        shapes[f"stages.{i}"] = (stage.dim, H, W)
        for j in range(stage.depth):
            within = block(spec, stage, H, W)
            shapes |= {f"stages.{i}.blocks.{j}{path}": shape for path, shape in within.items()}
    classes = spec.num_classes or spec.stages[-1].dim
    return shapes | {"head": (classes, 1, 1), "head.fc": (classes, 1, 1)}


def block(spec: VariantSpec, stage: Stage, H: int, W: int) -> dict[str, Shape]:
    """Return the shapes inside one block, by relative path with its leading dot."""
    dim, r = stage.dim, stage.rate
    n = (-(-H // r), -(-W // r))
    pixels, one, groups = (dim, H, W), (1, H, W), (NUM_GROUPS, H, W)
    tokens, qkv = (dim, *n), (2 * stage.num_heads * spec.key_dim + dim, *n)
    wide = (stage.hidden_dim, H, W)
    return {
        "": pixels,
        **{".attn": pixels, ".attn.norm": pixels, ".attn.sample": tokens, ".attn.sample.score": one},
        **{".attn.qkv": qkv, ".attn.attend": tokens, ".attn.proj": tokens},
        **{".attn.recover": pixels, ".attn.recover.dw": pixels},
        ".ffn": pixels,
        **{f".ffn.{name}{end}": pixels for name in ("local", "fc2") for end in CONV_NORM},
        **{f".ffn.{name}": wide for name in ("fc1", "fc1.conv", "fc1.norm", "act", "redistribute")},
        **{f".ffn.{name}": groups for name in ("aggregate", "aggregate.conv", "aggregate.norm", "act_a")},
    }
