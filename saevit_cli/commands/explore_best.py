"""What `saevit explore` does with the best variants after a search: --measure-top and --train-top."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saevit_cli import output
from saevit_cli.commands.trial_run import train_candidates

if TYPE_CHECKING:
    from saevit.explore.exploration import CountedVariant, Exploration
    from saevit.measure.timing import TimingOptions
    from saevit.runs.record import Dtype
    from saevit.trials.trial import TrialPlan


def measure_best(
    found: "Exploration",
    count: int,
    timing: "TimingOptions",
    reference: str,
    store: Path | None,
    outputs: output.Outputs,
    dtype: "Dtype",
) -> int:
    """Time the best variants, random ones at equal cost and a reference; show how well prediction ranks."""
    from saevit.comparing.compare import compare
    from saevit.explore.control import draw_control
    from saevit.report.views.predicted import view_predicted

    best = (found.top or found.front)[:count]
    control = [other for _, other in draw_control(found, best)]
    with outputs.measuring(store) as (writer, on_progress):
        timed = compare(
            list(dict.fromkeys([reference, *(row.model for row in (*best, *control))])),
            reference=reference,
            img_size=found.question.img_size,
            dtype=dtype,
            timing=timing,
            on_progress=on_progress,
            writer=writer,
        )
    outputs.show(view_predicted(found, timed, best, control))
    return output.exit_code(timed.run, failed=timed.failed)


def train_best(
    found: "Exploration",
    plan: "TrialPlan",
    given: Mapping[str, Any],
    outputs: output.Outputs,
) -> int:
    """Train the base variant, some of the front and random ones at equal cost, and compare the two groups."""
    from saevit.comparing.compare import compare
    from saevit.explore.control import draw_control
    from saevit.report.views.trained import view_trained
    from saevit.variant import parse

    best = choose_spread(found, given["train_top"])
    pairs = draw_control(found, best)
    rows = (found.base, *best, *(other for _, other in pairs))
    models = list(dict.fromkeys(row.model for row in rows))
    measured, outcome = train_candidates(models, plan, given, given["store"])
    classes = plan.train.num_classes
    names = {model: str(replace(parse(model), num_classes=classes)) for model in models}
    compared = compare(list(names.values()), img_size=plan.recipe.img_size, measured=measured)
    result = outcome.add_reasons(compared)
    outputs.show(view_trained(found, result, pairs, names))
    return output.exit_code(failed=result.failed)


def choose_spread(found: "Exploration", count: int) -> "list[CountedVariant]":
    """Return variants of the front at even distances, one of which is the answer if it is on the front."""
    from saevit.report.explore_messages import choose_answer
    from saevit.report.views.explore import thin_rows

    front, answer = found.front, choose_answer(found)
    if count == 1 or len(front) == 1:
        return [answer or front[0]]
    rows = list(thin_rows(front, count))
    if answer in front and answer not in rows:
        at = [front.index(row) for row in rows]
        rows[min(range(len(at)), key=lambda i: abs(at[i] - front.index(answer)))] = answer
    return rows
