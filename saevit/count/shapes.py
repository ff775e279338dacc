"""What each module of a variant writes, in closed form: the twin of a forward pass, without torch.

A shape is (channels, height, width) for one image.
"""

from saevit.count.analytic import half, stem_size
from saevit.spec import Stage, VariantSpec

Shape = tuple[int, int, int]


def by_module(spec: VariantSpec, img_size: tuple[int, int]) -> dict[str, Shape]:
    """Return the output shape of every module that `analytic.by_module` names, and of its parents."""
    H, W = stem_size(img_size)
    first = (spec.stem_dim, half(img_size[0]), half(img_size[1]))
    last = (spec.stages[0].dim, H, W)
    shapes = {f"stem.{name}": first for name in ("conv1", "norm1", "act")}
    shapes |= {f"stem.{name}": last for name in ("conv2", "norm2")} | {"stem": last}
    for i, stage in enumerate(spec.stages):
        if i:
            H, W = half(H), half(W)
            shapes |= {f"stages.{i}.downsample{end}": (stage.dim, H, W) for end in ("", ".conv", ".norm")}
        shapes[f"stages.{i}"] = (stage.dim, H, W)
        for j in range(stage.depth):
            within = block(stage, H, W)
            shapes |= {f"stages.{i}.blocks.{j}{path}": shape for path, shape in within.items()}
    classes = spec.num_classes or spec.stages[-1].dim
    head = {"head": (classes, 1, 1), "head.norm": (spec.stages[-1].dim, H, W), "head.fc": (classes, 1, 1)}
    return shapes | head


def block(stage: Stage, H: int, W: int) -> dict[str, Shape]:
    """Return the shapes inside one block, by relative path with its leading dot."""
    dim, hidden, r = stage.dim, stage.hidden_dim, stage.rate
    pixels, one = (dim, H, W), (1, H, W)
    tokens = (dim, -(-H // r), -(-W // r))
    recovered = (dim, tokens[1] * r, tokens[2] * r)
    wide = (hidden, H, W)
    return {
        "": pixels,
        **{f".local{end}": pixels for end in ("", ".dw", ".norm1", ".act", ".pw", ".norm2")},
        **{".attn": pixels, ".attn.norm": pixels, ".attn.sample": tokens, ".attn.sample.score": one},
        **{".attn.qkv": (3 * dim, *tokens[1:]), ".attn.attend": tokens, ".attn.proj": tokens},
        **{".attn.recover": recovered, ".ffn": pixels, ".ffn.norm": pixels, ".ffn.fc2": pixels},
        **{f".ffn.{name}": wide for name in ("fc1", "dw", "act", "redistribute")},
        **{".ffn.redistribute.decompose": one, ".ffn.redistribute.act": one},
    }
