"""The message (first line and title) of each view of attention, like `messages` for other results."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, median

from saevit.attention.findings import Attention, Prediction, effective_share
from saevit.report.units import percent, short_names

NEARLY_UNIFORM = 0.95  # share of the map
MOST_QUERIES = 3  # that a message names


def summarize_attention(networks: Sequence[Attention], view: str = "overview") -> str:
    """Summarize a view of attention; with random weights, describe only the sampling."""
    short = short_names(one.model for one in networks)
    whole = [f"{short[one.model]} with {one.weights}" for one in networks]
    is_one_model = len(set(short.values())) < len(networks)
    names = whole if is_one_model else [short[one.model] for one in networks]
    random = [name for name, one in zip(names, networks, strict=True) if one.is_random]
    trained = [(name, one) for name, one in zip(names, networks, strict=True) if not one.is_random]
    sentences = []
    if random:
        of, whose = ("", "the") if len(random) == len(networks) else (f" of {random[0]}", "its")
        what = "colours" if view == "pattern" else "maps"
        sentences = [f"Random weights{of}: {whose} {what} carry no meaning."]
        if is_one_model and trained:
            sentences = [f"The {what} of the random weights carry no meaning."]
    if view == "pattern":
        sentences += map(describe_scores, names, networks)
    elif not trained:
        sentences += [
            describe_sampling(*named, with_sparsity=True) for named in zip(names, networks, strict=True)
        ]
    elif view == "query":
        sentences += [describe_queries(*named) for named in trained]
    elif view == "rollout":
        sentences += [describe_rollout(*named) for named in trained]
    elif view == "class":
        sentences += [describe_class(one) for _, one in trained]
    elif len(networks) == 1:
        attention = networks[0]
        beginning = (
            [f"With {attention.weights}, the prediction is {name_prediction(attention.predictions[0])}."]
            if attention.predictions
            else [describe_sampling(*trained[0], with_sparsity=False)]
        )
        sentences += [*beginning, *(describe_drawing(networks) or [describe_concentration(attention)])]
    elif is_one_model and (drawn := describe_drawing(networks)):
        sentences = [*drawn, *sentences]
    else:
        sentences.append(compare_concentration(trained))
    return " ".join(sentences)


def name_prediction(prediction: Prediction) -> str:
    """Write a predicted class with its probability."""
    return f"the class {prediction.name} ({percent(prediction.probability)})"


def describe_drawing(networks: Sequence[Attention]) -> list[str]:
    """Return the attention to the drawing in the stages where it is lowest and highest; empty for photos."""
    texts = []
    for one in networks:
        samples: dict[int, list[float]] = {}
        for numbers in one.numbers:
            samples.setdefault(numbers.block.stage, []).append(numbers.mean("drawn"))
        means = {stage: fmean(values) for stage, values in samples.items()}
        if any(map(math.isnan, means.values())):
            return []
        low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        text = f"{means[low]:.2f} (stage {low}) to {means[high]:.2f} (stage {high})"
        texts.append(text if len(networks) == 1 else f"{text} with {name_weights(one, networks)}")
    return [f"Attention to the drawing, relative to uniform: {', '.join(texts)}."]


def name_weights(attention: Attention, networks: Sequence[Attention]) -> str:
    """Return a short name of the weights that is unique among the networks."""
    if attention.is_random:
        return "random weights"
    return (
        "trained weights"
        if sum(one.is_random for one in networks) == len(networks) - 1
        else attention.weights
    )


def describe_class(attention: Attention) -> str:
    """Describe the prediction, and the effective size of the last map of the first class."""
    maps = attention.class_maps
    last = [one for one in maps if one.of == maps[0].of][-1]
    size = "is 0: no pixel raises its score"
    if last.mass.any():
        size = f"has an effective size of {percent(effective_share(last.mass), 0)} of the map"
    prediction = f"the prediction is {name_prediction(attention.predictions[0])}"
    return f"With {attention.weights}, {prediction}. Grad-CAM of {last.of.name} in stage {last.stage} {size}."


def describe_scores(name: str, attention: Attention) -> str:
    """Describe the share of the dense attention scores that each stage computes."""
    stages = {maps.block.stage: maps.block.sparsity for maps in attention.shown_maps}
    if not any(stages.values()):
        return f"{name} computes all attention scores."
    shares = [percent(1 - sparsity, 2 if sparsity else 0) for sparsity in stages.values()]
    where = write_stages(stages)
    return f"{name} computes {join_words(dict.fromkeys(shares))} of the dense attention scores in {where}."


def describe_sampling(name: str, attention: Attention, *, with_sparsity: bool) -> str:
    """Describe the shown stages that do not compute all attention scores, with their range of sparsity."""
    every = [numbers.block for numbers in attention.numbers]
    blocks = [block for block in every if block.sparsity > 0]
    if not blocks:
        return f"{name} computes all attention scores in {write_stages(b.stage for b in every)}."
    verb = "has sparse attention" if {b.sampling for b in blocks} <= {"none", "reduction"} else "samples"
    ends = dict.fromkeys(percent(end([b.sparsity for b in blocks]), 2) for end in (min, max))
    sparsity = f" (sparsity {' to '.join(ends)})" if with_sparsity else ""
    return f"{name} {verb} in {write_stages(b.stage for b in blocks)}{sparsity}."


def find_concentrated(attention: Attention) -> tuple[int, float]:
    """Return the stage in which a pixel attends to the smallest share of the map, and that share."""
    shares: dict[int, list[float]] = {}
    for one in attention.numbers:
        shares.setdefault(one.block.stage, []).extend(n / one.block.pixels for n in one.samples["support"])
    stage = min(shares, key=lambda stage: median(shares[stage]))
    return stage, median(shares[stage])


def describe_concentration(attention: Attention) -> str:
    """Describe the concentration and the mean distance of attention in the most concentrated stage."""
    stage, share = find_concentrated(attention)
    if share > NEARLY_UNIFORM:
        return f"Attention is nearly uniform: a pixel attends to {percent(share)} of the map or more."
    heads = [one for one in attention.numbers if one.block.stage == stage]
    distance = median(value for one in heads for value in one.samples["distance"])
    uniform = median(one.block.uniform_distance for one in heads)
    of_images = f"; {len(attention.images)} images" * (len(attention.images) > 1)
    where = f"Attention is most concentrated in stage {stage}: a"
    if len({one.block.stage for one in attention.numbers}) == 1:
        where = f"In stage {stage}, a"
    return (
        f"{where} pixel attends to {percent(share, 0)} of the map, {distance:.0f} px away on average "
        f"(uniform: 100 %, {uniform:.0f} px{of_images})."
    )


def compare_concentration(named: Iterable[tuple[str, Attention]]) -> str:
    """Describe the most concentrated stage of each network."""
    stages = [(name, *find_concentrated(one)) for name, one in named]
    texts = [f"in stage {stage} of {name} ({percent(share, 0)} of the map)" for name, stage, share in stages]
    return f"Attention is most concentrated {join_words(texts)}; uniform is 100 %."


def describe_queries(name: str, attention: Attention) -> str:
    """Describe the share of the map that query pixels attend to, in the stage with the smallest share."""
    shares = [[effective_share(row.mean(0)) for row in maps.rows] for maps in attention.shown_maps]
    least, maps = min(zip(shares, attention.shown_maps, strict=True), key=lambda pair: fmean(pair[0]))
    pixels = [
        f"pixel {x},{y} attends to {percent(share, 0)}"
        for (x, y), share in zip((query.image for query in attention.queries), least, strict=True)
    ]
    if len(pixels) > MOST_QUERIES:
        pixels = [f"the query pixels attend to {percent(min(least), 0)} to {percent(max(least), 0)}"]
    where = f"stage {maps.block.stage} of {name}"
    return f"In {where}, {join_words(pixels)} of the map (uniform: 100 %)."


def describe_rollout(name: str, attention: Attention) -> str:
    """Describe the effective share of the input pixels in the map of the last stage."""
    last = attention.rollout[-1]
    share = percent(effective_share(last.mass[0]), 0)
    return (
        f"The output of stage {last.block.stage} of {name} comes from {share} of the pixels (uniform: 100 %)."
    )


def write_stages(stages: Iterable[int]) -> str:
    """Write numbers of stages: `stage 2`, `stages 1 to 3`, `stages 1 and 3`."""
    numbers = sorted(set(stages))
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"stages {numbers[0]} to {numbers[-1]}"
    return f"stage{'s' * (len(numbers) > 1)} {join_words(map(str, numbers))}"


def join_words(words: Iterable[str]) -> str:
    """Join words: `a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
