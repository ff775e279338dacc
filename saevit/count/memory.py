"""Memory of inference in closed form: how many elements are alive at the worst moment of a forward pass.

It follows eager PyTorch step by step: every operator writes a new tensor, a tensor lives until the last name
that holds it goes, weights are counted apart. `peak.traced_peak` sees the same on the real network.
In half precision the window's scores stay in fp32; where sampling is the worst moment, twice the elements in
bytes are then a little less than the truth. Sizes may be ints or int64 arrays.
"""

from functools import reduce

from saevit.count.analytic import half, num_tokens, stem_size
from saevit.count.formulas import Size
from saevit.spec import Stage, VariantSpec


def peak_elements(spec: VariantSpec, img_size: tuple[int, int]) -> int:
    """Return the largest number of activation elements alive at once for one image, the image included."""
    image = spec.in_chans * img_size[0] * img_size[1]
    H, W = stem_size(img_size)
    peaks = [image + stem_peak(spec.stem_dim, spec.stages[0].dim, img_size)]
    stage_input = spec.stages[0].dim * H * W
    for i, stage in enumerate(spec.stages):
        if i:
            H, W = half(H), half(W)
        held = image + stage_input  # the caller holds the stage's input until the stage returns
        carried = {"depth": stage.depth, "attending": sum(stage.attends), "first": stage.attends[0] * 1}
        peaks.append(held + stage_peak(spec, stage, H, W, downsamples=i > 0, **carried))
        stage_input = stage.dim * H * W
    peaks.append(image + head_peak(spec.stages[-1].dim, spec.num_classes, H * W))
    return largest(*peaks)


def stem_peak(mid_dim: Size, dim: Size, img_size: tuple[int, int]) -> Size:
    """Elements alive inside the stem beside the image."""
    H, W = stem_size(img_size)
    between, out = mid_dim * half(img_size[0]) * half(img_size[1]), dim * H * W
    return largest(2 * between, between + out, 2 * out)


def head_peak(dim: Size, num_classes: int, hw: Size) -> Size:
    """Elements alive inside the head beside the image: its input and norm, then what it pools and writes."""
    return dim * hw + largest(dim * hw + dim, dim + num_classes)


def stage_peak(
    spec: VariantSpec,
    stage: Stage,
    H: Size,
    W: Size,
    *,
    downsamples: bool,
    depth: Size,
    attending: Size,
    first: Size,
) -> Size:
    """Elements alive inside one stage beside its input.

    `attending` of its `depth` blocks carry attention; `first` is 1 where the first one does, else 0. The
    first block of the first stage is given the stage's input, every other one a map of its own.
    """
    F = stage.dim * H * W
    plain, attends = (block_peak(spec, stage, H, W, attends=carries) for carries in (False, True))
    return largest(
        2 * F * downsamples,
        F * downsamples + plain + (attends - plain) * first,
        (F + plain) * (depth - attending > 1 - first),
        (F + attends) * (attending > first),
    )


def block_peak(spec: VariantSpec, stage: Stage, H: Size, W: Size, *, attends: bool) -> Size:
    """Elements alive inside one block beside its input. After its first branch, x is a tensor of its own."""
    F = stage.dim * H * W
    peaks, x = [], 0
    if spec.local == "dwsconv":
        peaks.append(2 * F)
        x = F
    if attends:
        peaks.append(x + saa_peak(spec.sampling, stage, H, W))
        x = F
    N, D = H * W, stage.hidden_dim
    peaks.append(x + (ciffn_peak(F, D, N) if spec.ffn == "ciffn" else mlp_peak(F, D * N)))
    return largest(*peaks)


def ciffn_peak(F: Size, hidden_dim: Size, N: Size) -> Size:
    """Norm and expansion; two hidden maps, aggregate and gamma while redistributing; projection; addition."""
    hidden = hidden_dim * N
    return largest(F + hidden, 2 * hidden + N + hidden_dim, hidden + F, 2 * F)


def mlp_peak(F: Size, hidden: Size) -> Size:
    """Norm and expansion, activation, projection, addition."""
    return largest(F + hidden, 2 * hidden, 2 * F)


def saa_peak(sampling: str, stage: Stage, H: Size, W: Size) -> Size:
    """Norm and sampling; then attention on the tokens; then recovery and addition."""
    F, n, r = stage.dim * H * W, num_tokens(H, W, stage.rate), stage.rate
    tokens, filled = stage.dim * n, n * r * r
    dense = F + attention_peak(tokens)
    z = F if sampling == "stride" else tokens  # a strided view keeps the whole map alive
    recovered = stage.dim * filled
    sparse = largest(
        F + sampling_peak(sampling, F, stage.dim, H * W, filled, tokens),
        z + attention_peak(tokens),
        z + tokens + recovered,
        recovered + F,
    )
    return sparse + (dense - sparse) * (stage.rate == 1)


def sampling_peak(sampling: str, F: Size, dim: Size, N: Size, filled: Size, tokens: Size) -> Size:
    """Elements alive while sampling beside the normalised map."""
    if sampling != "adaptive":
        return tokens if sampling == "average" else 0
    padded = (filled > N) * 1
    softmax = N + padded * filled + 3 * filled  # score, padded; its windows as channels, softmax, and back
    return largest(softmax, filled + dim * N + tokens)


def attention_peak(tokens: Size) -> Size:
    """Queries, keys and values twice: as the projection writes them, and as attention reads them."""
    return 6 * tokens


def largest(*sizes: Size) -> Size:
    """Return the largest size, element by element."""
    return reduce(lambda a, b: a + (b - a) * (b > a), sizes)
