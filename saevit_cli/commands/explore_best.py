"""What `saevit explore` does with the best variants after a search: --measure-top and --train-top."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saevit_cli import output
from saevit_cli.commands.trial_run import train_candidates

if TYPE_CHECKING:
    from saevit.explore.exploration import Exploration
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
    """Train the base variant and the best ones, and show their accuracies in the predicted order."""
    from saevit.comparing.compare import compare
    from saevit.report.views.compare import view_comparison
    from saevit.variant import parse

    best = [row.model for row in (found.top or found.front)[: given["train_top"]]]
    models = list(dict.fromkeys([str(parse(given["model"])), *best]))
    measured, outcome = train_candidates(models, plan, given, given["store"])
    classes = plan.train.num_classes
    named = [str(replace(parse(model), num_classes=classes)) for model in models]
    compared = compare(named, img_size=plan.recipe.img_size, measured=measured)
    result = outcome.add_reasons(compared)
    view = view_comparison(result, None, ("gmacs",))
    order = f"the rows after the base variant are in the order of the search, by {found.question.rank}"
    outputs.show(replace(view, notes=(order, *view.notes)))
    return output.exit_code(failed=result.failed)
