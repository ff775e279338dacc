"""The messages of a training, an evaluation and of stored runs, as `messages` has those of other results.

Each message is computed from the data and claims no more than they show.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from saevit.report.messages import write_ratio_interval
from saevit.report.units import milliseconds, percent, short_names
from saevit.runs.diff import Diff
from saevit.runs.evaluation import Evaluation
from saevit.runs.run import TWIN, MeasuredTop1, Run, RunSummary, Subject
from saevit.runs.statistics import Share, median, ratio
from saevit.text import plural
from saevit.train.state import Epoch, TrainingState


def summarize_training(state: TrainingState) -> str:
    """Return the top-1 of the last validated epoch with its interval, and where the training stopped."""
    name, epochs, done = name_model(state.run.model), state.recipe.epochs, len(state.rows)
    head = ""
    if not state.is_finished:
        head = f"Stopped in epoch {done + 1} of {epochs}, after {plural(state.part.updates, 'update')}. "
    last = next((row for row in reversed(state.rows) if row.val_top1 is not None), None)
    if last is None:
        return f"{head}No epoch of {name} was validated."
    top1 = describe_top1(count_hits(last))
    where = describe_images(state.run.data, "validation", last.val_images or 0)
    return f"{head}{name} reaches {top1} on {where} after {plural(last.epoch, 'epoch')}."


def count_hits(row: Epoch) -> Share:
    """Return the images that were classified correctly in a validated epoch."""
    assert row.val_top1 is not None
    assert row.val_images is not None
    return Share(hits=round(row.val_top1 / 100 * row.val_images), total=row.val_images)


def summarize_evaluation(found: Evaluation) -> str:
    """Return the top-1 of an evaluation with its interval."""
    where = describe_images(found.data, found.split, found.images)
    return f"{name_model(found.model)} reaches {describe_top1(found.top1)} on {where}."


def summarize_top1(top: MeasuredTop1) -> str:
    """Return the top-1 of a stored evaluation with its interval."""
    where = describe_images(top.data, top.split, top.share.total)
    return f"{name_model(top.model)} reaches {describe_top1(top.share)} on {where}."


def describe_top1(share: Share) -> str:
    """Write a top-1 with its interval: `98.6 % top-1 [96.8, 99.4]`."""
    low, high = (100 * end for end in share.interval)
    return f"{percent(share.value)} top-1 [{low:.1f}, {high:.1f}]"


def describe_images(data: str, split: str, count: int) -> str:
    """Write which images an accuracy is of: `digits (validation, 359 images)`."""
    part = "" if split == "all" else f"{split}, "
    return f"{Path(data).name or data} ({part}{plural(count, 'image')})"


def name_model(model: str) -> str:
    """Return a name that fits into a sentence."""
    return short_names([model])[model]


def summarize_store(runs: Sequence[RunSummary], folder: str) -> str:
    """Return how many runs a folder has, and what the newest one is."""
    if not runs:
        return f"{folder} has no runs yet: saevit profile, compare and eval store theirs there."
    head = f"{plural(len(runs), 'run')} in {folder}"
    readable = [run for run in runs if not run.problem]
    if not readable:
        return f"{head}; none can be read."
    newest = readable[-1]
    when = (newest.started or "")[:16].replace("T", " ")
    names = list(short_names(newest.subjects).values())
    models = names[0] if len(names) == 1 else f"{names[0]} and {plural(len(names) - 1, 'other model')}"
    what = "an evaluation" if newest.is_evaluation else plural(newest.rounds, "round")
    return f"{head}; the newest is of {when} UTC: {models}, {what}."


def summarize_run(run: Run) -> str:
    """Return the top-1 of an evaluation, the time of one configuration, or the fastest of several."""
    if run.top1s:
        return summarize_top1(run.top1s[0])
    timed = [one for one in run.timed if one.samples]
    if not timed:
        reason = next(iter(run.failures.values()), "no round was finished")
        return f"No model was timed: {reason}."
    names = name_configurations(timed)
    fastest = min(timed, key=lambda one: median(one.seconds_per_image))
    time = f"{milliseconds(median(fastest.seconds_per_image))} ms per image"
    if len(timed) == 1:
        return f"{names[0]} takes {time} ({plural(run.rounds, 'round')})."
    head = f"{names[timed.index(fastest)]} is the fastest of {len(timed)} per image, {time}"
    slowest = max(timed, key=lambda one: median(one.seconds_per_image))
    change = ratio(slowest.seconds_per_image, fastest.seconds_per_image)
    name = names[timed.index(slowest)]
    if change.verdict == "not resolved":
        return f"{head}; the difference from {name} is not resolved, ratio {write_ratio_interval(change)}."
    return f"{head}; {name} takes {write_ratio_interval(change)} times as long."


def name_configurations(subjects: Sequence[Subject]) -> list[str]:
    """Return a name of each subject: its model, its batch size, or both, whatever tells them apart."""
    names = short_names(dict.fromkeys(one.name for one in subjects))
    models = [names[one.name] for one in subjects]
    batches = [f"batch {one.conditions.batch_size}" for one in subjects]
    if len(set(models)) == len(models):
        return models
    if len(set(models)) == 1 and len(set(batches)) == len(batches):
        return [f"{models[0]} at {batch}" for batch in batches]
    return [f"{model} ({one.conditions})" for model, one in zip(models, subjects, strict=True)]


def summarize_diff(found: Diff, first: str, second: str) -> str:
    """Return how many models changed from one run to another."""
    changes = [change for change in found.changes if change.quantity != TWIN]
    where = f"from {first} to {second}"
    if not changes:
        return f"Nothing can be compared {where}: the runs share no second model under equal conditions."
    verdicts = [change.verdict for change in changes if change.resolved]
    if not verdicts:
        return f"No change is resolved {where} ({plural(len(changes), 'configuration')})."
    kinds = " and ".join(f"{verdicts.count(v)} {v}" for v in ("faster", "slower") if v in verdicts)
    largest = max((c for c in changes if c.resolved), key=lambda change: abs(math.log(change.ratio)))
    return (
        f"{len(verdicts)} of {plural(len(changes), 'configuration')} changed {where}: {kinds} relative to "
        f"{found.reference}. The largest change is {largest.ratio:.3f} times the time, of {largest.subject}."
    )
