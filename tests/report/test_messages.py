"""Each branch of the messages, from made-up times and exact counts."""

import math
from dataclasses import replace

import numpy as np
import pytest

from saevit.attention.findings import Attention, ClassMap, Prediction, effective_share
from saevit.comparing.comparison import Candidate, Comparison
from saevit.explore.exploration import count_variant
from saevit.explore.solve import Sensitivity, find_sensitivity, solve
from saevit.profiling import Profile, profile
from saevit.report.attention_messages import summarize_attention
from saevit.report.explore_messages import (
    describe_best,
    name_base,
    summarize_exploration,
    summarize_sensitivity,
    summarize_solution,
)
from saevit.report.messages import list_subjects, summarize_breakdown, summarize_comparison
from saevit.variant import parse
from tests.explore.spaces import MIDDLE
from tests.report.scatter.test_scatter_plot import compared, model
from tests.report.views.test_explore import found

TINY = model("saevit_tiny", 0.8, None, 9.0, family="SAEViT")
PICO = model("saevit_pico", 0.2, None, 3.0, family="SAEViT")
BASE = model("saevit_base", 3.0, None, 36.0, family="SAEViT")
NET = model("timm:net.a_in1k", 0.8, 75.0, 12.0)
FAR = model("timm:far.a_in1k", 2.0, 80.0, 20.0)


def untimed(*models: Candidate) -> Comparison:
    return compared(*(replace(c, subject=None) for c in models))


def with_times(c: Candidate, *ms: float) -> Candidate:
    assert c.subject
    return replace(c, subject=replace(c.subject, samples=tuple(one * 1e-3 for one in ms)))


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        (compared(TINY, FAR, NET), "saevit_tiny takes 0.75 [0.75, 0.75] of net's time at the same MACs."),
        (
            compared(FAR, TINY, PICO),
            "far takes 2.22 [2.22, 2.22] times saevit_tiny's time at 2.50 times its MACs.",
        ),
        (
            compared(TINY, with_times(NET, 8, 10, 8, 10, 8, 10)),
            "saevit_tiny and net: the difference in time is not resolved, ratio 0.99 [0.81, 1.24], at the "
            "same MACs.",
        ),
        (
            untimed(PICO, NET, FAR),
            "saevit_pico has 0.25 of net's MACs and 0.25 of its parameters.",
        ),
        (
            compared(TINY, PICO, BASE),
            "saevit_pico is the fastest of 3 variants; saevit_base takes 12.00 [12.00, 12.00] times "
            "saevit_pico's time at 15.0 times its MACs.",
        ),
        (
            compared(PICO, TINY),
            "saevit_pico takes 0.33 [0.33, 0.33] of saevit_tiny's time at 0.25 of its MACs.",
        ),
        (
            compared(NET, FAR, replace(with_times(NET, 13, 11, 12, 12, 11, 13), model="other")),
            "net and other are the fastest of 3 models (not resolved); far takes",
        ),
        (
            compared(PICO, replace(PICO, model="b"), replace(PICO, model="c")),
            "The differences in time between 3 variants are not resolved.",
        ),
        (
            untimed(TINY, PICO, BASE),
            "Of 3 variants, saevit_pico has the fewest MACs and saevit_base the most, 15.0 times as many.",
        ),
        (untimed(TINY), "saevit_tiny has 0.8000 GMACs."),
        (compared(PICO), "saevit_pico takes 3.00 ms per image at 0.2000 GMACs."),
        (
            untimed(Candidate(model="a", failure="it is not known")),
            "No model could be compared: it is not known",
        ),
    ],
)
def test_a_comparison(comparison: Comparison, message: str) -> None:
    assert summarize_comparison(comparison).startswith(message)


def test_a_rival_is_the_nearest_in_accuracy_if_both_have_one() -> None:
    measured = replace(TINY, accuracy=replace(FAR.accuracy, top1=79.0))  # type: ignore[type-var]
    message = summarize_comparison(compared(measured, NET, FAR))
    assert message == (
        "saevit_tiny takes 0.45 [0.45, 0.45] of far's time at 0.40 of its MACs, with 1.0 points less top-1."
    )


def test_rows_of_one_model_are_configurations() -> None:
    batches = [
        replace(TINY, model=label, subject=replace(c.subject, label=label, name="saevit_tiny"))  # type: ignore[type-var]
        for label, c in (("batch 1", TINY), ("batch 8", with_times(TINY, 5, 5, 5, 5, 5, 5)))
    ]
    batches.append(replace(batches[0], model="batch 4"))
    assert summarize_comparison(compared(*batches)).startswith("batch 8 is the fastest of 3 configurations; ")


def test_without_times_the_message_and_its_models_are_of_counts() -> None:
    comparison = compared(TINY, FAR, PICO, NET)
    message = "saevit_tiny has the same MACs as net and the same parameters."
    assert summarize_comparison(comparison, with_times=False) == message
    assert list_subjects(comparison) == ["saevit_tiny", "timm:net.a_in1k"]
    assert list_subjects(compared(TINY, PICO, BASE)) == ["saevit_pico", "saevit_base"]
    assert list_subjects(compared(TINY)) == []


def test_a_breakdown_without_times_is_of_macs() -> None:
    counted = profile("saevit_pico", img_size=(64, 64), counters=["analytic"])
    row = max(counted.rows, key=lambda row: row.macs)
    share = f"{100 * row.macs / counted.macs:.0f} % of the MACs"
    assert summarize_breakdown(counted).startswith(f"Stage {int(row.path[-1]) + 1} has {share} and ")
    by_block = profile("saevit_pico", img_size=(64, 64), counters=["analytic"], by="block")
    assert summarize_breakdown(by_block).startswith("Stage 4, block 2 has ")


def test_a_breakdown_with_times_names_the_slowest_row(timed: Profile) -> None:
    slow = tuple(
        replace(row, seconds=(0.004, 0.008)) if row.path == "stages.1" else row for row in timed.rows
    )
    message = summarize_breakdown(replace(timed, rows=slow))
    share = 100 * 4 / (len(slow) + 3)
    assert message.startswith(f"Stage 2 takes {share:.0f} % of the time and ")
    rest = (replace(slow[0], path="", macs=10**12), *timed.rows[1:])
    assert summarize_breakdown(replace(timed, rows=rest)).startswith("The rest of the network takes ")


def test_shares_of_time_sum_to_one_and_agree_with_the_medians(timed: Profile) -> None:
    rows = tuple(
        replace(row, seconds=(0.001 * i, 0.1 / (i + 1), 0.01)) for i, row in enumerate(timed.rows, 1)
    )
    drifting = replace(timed, rows=rows)
    shares = [drifting.share_of_time(row) for row in rows]
    assert sum(shares) == pytest.approx(1)
    assert sorted(rows, key=drifting.share_of_time) == sorted(rows, key=lambda row: row.median_seconds)


def test_an_exploration_compares_the_best_with_the_base() -> None:
    seen = found()
    best = max(row.capacity for row in seen.top)
    change = 100 * (best / seen.base.capacity - 1)
    assert summarize_exploration(seen) == (
        f"{len(seen.front)} variants are on the front of GMACs and capacity. Within 8 M parameters, the most "
        f"capacity is {best:.1f}, {change:.1f} % more than the base variant at "
        f"{seen.top[0].macs / seen.base.macs:.2f} times its MACs."
    )
    itself = replace(seen, top=(seen.base,))
    assert summarize_exploration(itself).endswith(", that of the base variant itself.")
    only_front = summarize_exploration(replace(seen, top=()))
    assert only_front == f"{len(seen.front)} variants are on the front of GMACs and capacity."


def test_a_base_variant_on_the_front_is_the_answer_without_limits() -> None:
    seen = found(objectives=("params", "most-gmacs"), rank="most-gmacs", limits=())
    row = next(row for row in seen.front if row.macs >= seen.base.macs)
    itself = replace(seen, base=row)
    assert describe_best(itself) == f"No variant has the MACs of {name_base(row)} with fewer parameters."


def test_an_exploration_of_other_quantities() -> None:
    message = summarize_exploration(found(objectives=("params", "activations"), rank="activations"))
    assert message.startswith("1 variant is on the front of parameters and activations. Within 8 M param")
    assert "the fewest activations are " in message
    assert " % less than the base variant at " in message


def test_a_solution_names_the_next_value() -> None:
    solved = solve(MIDDLE, "width", 10**9, (224, 224))
    message = summarize_solution(solved)
    assert message.startswith(f"The largest width within 1 GMACs is {solved.value} (0.9")
    assert message.endswith(f"; {solved.next_value} needs {solved.next_row.macs / 1e9:.4f} GMACs.")  # type: ignore[union-attr]
    assert summarize_solution(replace(solved, next_row=None)).endswith(" GMACs).")


def test_a_sensitivity_names_the_largest_step_of_a_single_key() -> None:
    seen = find_sensitivity(MIDDLE, (224, 224))
    message = summarize_sensitivity(seen)
    assert message.startswith("The step with the largest effect on MACs is ")
    assert "width" not in message
    multipliers = replace(seen, steps=tuple(step for step in seen.steps if step.key == "width"))
    assert " is width 1 to 1.1 (+" in summarize_sensitivity(multipliers)
    tiny = count_variant(parse("saevit_tiny"), (224, 224))
    nothing = summarize_sensitivity(Sensitivity(base=tiny, steps=()))
    assert nothing.startswith("No single step of a key of saevit_tiny gives ")


def concentrated(attention: Attention, stage: int, share: float) -> Attention:
    """As if trained, and as if each pixel of one stage attended to a share of a photograph, 20 px away."""
    numbers = []
    for one in attention.numbers:
        kept = share if one.block.stage == stage else 0.99
        values = {"support": (kept * one.block.pixels,), "distance": (20.0,), "drawn": (math.nan,)}
        numbers.append(replace(one, samples=dict(one.samples) | values))
    return replace(attention, is_random=False, weights="weights of a.pth", numbers=tuple(numbers))


def drawn(attention: Attention, *values: float) -> Attention:
    """As if a drawing received these multiples of uniform attention in stages 1 to 4."""
    samples = (dict(one.samples) | {"drawn": (values[one.block.stage - 1],)} for one in attention.numbers)
    return replace(
        attention,
        model="net",
        numbers=tuple(replace(one, samples=s) for one, s in zip(attention.numbers, samples, strict=True)),
    )


def test_the_message_of_trained_weights_names_them_the_class_and_the_drawing(attention: Attention) -> None:
    trained = replace(
        drawn(attention, 1.5, 1, 0.5, 1),
        is_random=False,
        weights="weights of a.pth",
        predictions=(Prediction(name="home", probability=0.756), Prediction(name="sun", probability=0.1)),
    )
    assert summarize_attention([trained]) == (
        "With weights of a.pth, the prediction is the class home (75.6 %). Attention to the drawing, "
        "relative to uniform: 0.50 (stage 3) to 1.50 (stage 1)."
    )
    assert summarize_attention([trained, drawn(attention, 1, 1, 1.02, 0.99)]) == (
        "Attention to the drawing, relative to uniform: 0.50 (stage 3) to 1.50 (stage 1) with trained "
        "weights, 0.99 (stage 4) to 1.02 (stage 3) with random weights. The maps of the random weights carry "
        "no meaning."
    )


def test_the_message_of_classes_describes_the_first_class(attention: Attention) -> None:
    one, other = (Prediction(name=name, probability=0.4) for name in ("home", "sun"))
    maps = [
        ClassMap(of=of, stage=stage, stride=(4, 4), mass=np.array([[0.5, 0.5, 0, 0]]) * (of == one))
        for of in (one, other)
        for stage in (3, 4)
    ]
    trained = replace(attention, is_random=False, weights="weights of a.pth", predictions=(other, one))
    beginning = "With weights of a.pth, the prediction is the class sun (40.0 %). "
    found = summarize_attention([replace(trained, class_maps=tuple(maps))], "class")
    assert found == f"{beginning}Grad-CAM of home in stage 4 has an effective size of 50 % of the map."
    found = summarize_attention([replace(trained, class_maps=tuple(maps[2:]))], "class")
    assert found == f"{beginning}Grad-CAM of sun in stage 4 is 0: no pixel raises its score."


def test_the_message_of_attention_names_the_most_concentrated_stage(attention: Attention) -> None:
    trained = replace(concentrated(attention, 3, 0.4), model="net")
    uniform = next(one.block.uniform_distance for one in trained.numbers if one.block.stage == 3)
    assert summarize_attention([trained]) == (
        "net samples in stages 1 to 3. Attention is most concentrated in stage 3: a pixel attends to 40 % of "
        f"the map, 20 px away on average (uniform: 100 %, {uniform:.0f} px)."
    )
    many = summarize_attention([replace(trained, images=("a", "b"))])
    assert many.endswith(f"(uniform: 100 %, {uniform:.0f} px; 2 images).")
    even = replace(trained, numbers=tuple(one for one in trained.numbers if one.block.stage != 3))
    assert summarize_attention([even]) == (
        "net samples in stages 1 and 2. Attention is nearly uniform: a pixel attends to 99.0 % of the map or "
        "more."
    )
    other = replace(trained, weights="weights of b.pth")
    assert summarize_attention([trained, other]) == (
        "Attention is most concentrated in stage 3 of net with weights of a.pth (40 % of the map) and in "
        "stage 3 of net with weights of b.pth (40 % of the map); uniform is 100 %."
    )


def test_the_message_of_a_pattern_holds_for_any_weights(attention: Attention) -> None:
    random = replace(attention, model="net")
    assert summarize_attention([random], "pattern") == (
        "Random weights: the colours carry no meaning. net computes 0.08 %, 1.23 %, 2.56 % and 100 % of the "
        "dense attention scores in stages 1 to 4."
    )


@pytest.mark.parametrize("view", ["overview", "query", "rollout"])
def test_random_weights_come_first_and_no_map_is_described(view: str, attention: Attention) -> None:
    assert summarize_attention([replace(attention, model="net")], view) == (
        "Random weights: the maps carry no meaning. net samples in stages 1 to 3 "
        "(sparsity 97.44 % to 99.92 %)."
    )
    both = [replace(attention, model="net"), replace(attention, model="other", is_random=False)]
    message = summarize_attention(both, view)
    assert message.startswith("Random weights of net: its maps carry no meaning. ")
    assert " of other" in message
    assert "net samples" not in message


def test_the_messages_of_a_query_and_of_rollout_measure_their_maps(attention: Attention) -> None:
    trained = replace(attention, model="net", is_random=False)
    rows = [maps.rows[0].mean(0) for maps in trained.shown_maps]
    shares = [effective_share(row) for row in rows]
    stage = shares.index(min(shares)) + 1
    assert summarize_attention([trained], "query") == (
        f"In stage {stage} of net, pixel 256,300 attends to {100 * min(shares):.0f} % of the map "
        "(uniform: 100 %)."
    )
    several = replace(
        trained,
        queries=trained.queries * 4,
        maps=tuple(replace(maps, rows=np.repeat(maps.rows, 4, axis=0)) for maps in trained.maps),
    )
    assert f"the query pixels attend to {100 * min(shares):.0f} % to " in summarize_attention(
        [several], "query"
    )
    share = effective_share(trained.rollout[-1].mass[0])
    assert summarize_attention([trained], "rollout") == (
        f"The output of stage 4 of net comes from {100 * share:.0f} % of the pixels (uniform: 100 %)."
    )
    assert effective_share(np.ones((4, 4))) == pytest.approx(1)
    assert effective_share(np.eye(4)) == pytest.approx(1 / 4)


def test_the_message_of_one_stage_makes_no_claim_about_the_others(attention: Attention) -> None:
    trained = replace(concentrated(attention, 4, 0.4), model="net")
    last = replace(trained, numbers=tuple(one for one in trained.numbers if one.block.stage == 4))
    assert summarize_attention([last]).startswith(
        "net computes all attention scores in stage 4. In stage 4, a pixel attends to 40 % of the map, 20 px"
    )
