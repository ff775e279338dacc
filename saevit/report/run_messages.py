"""The messages of a training, an evaluation and stored runs, like `messages` for other results."""

import math
from collections.abc import Sequence

from saevit.files import name_source
from saevit.report.latencies import find_differing
from saevit.report.units import milliseconds, percent, short_names, write_ratio_interval, write_share_interval
from saevit.runs.diff import Diff
from saevit.runs.evaluation import Evaluation
from saevit.runs.run import TWIN, Run, RunSummary, Subject
from saevit.runs.statistics import Share, median, ratio
from saevit.text import plural
from saevit.train.state import Epoch, TrainingState


def summarize_training(state: TrainingState) -> str:
    """Summarize a training: the top-1 of the last validated epoch, and the epoch of an early stop."""
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
    """Return the number of correctly classified images in a validated epoch."""
    assert row.val_top1 is not None
    assert row.val_images is not None
    return Share(hits=round(row.val_top1 / 100 * row.val_images), total=row.val_images)


def summarize_evaluation(found: Evaluation) -> str:
    """Summarize an evaluation: top-1 with its interval, data and number of images."""
    return write_accuracy_sentence(found.model, found.top1, found.data, found.split)


def write_accuracy_sentence(model: str, share: Share, data: str, split: str) -> str:
    """Write the top-1 of a model on a split of data as a sentence."""
    where = describe_images(data, split, share.total)
    return f"{name_model(model)} reaches {describe_top1(share)} on {where}."


def describe_top1(share: Share) -> str:
    """Write a top-1 with its interval: `98.6 % top-1 [96.8, 99.4]`."""
    return f"{percent(share.value)} top-1 {write_share_interval(share)}"


def describe_images(data: str, split: str, count: int) -> str:
    """Write the images of an accuracy: `digits (validation, 359 images)`."""
    part = "" if split == "all" else f"{split}, "
    return f"{name_source(data)} ({part}{plural(count, 'image')})"


def name_model(model: str) -> str:
    """Return the short name of a model."""
    return short_names([model])[model]


def summarize_store(runs: Sequence[RunSummary], folder: str) -> str:
    """Summarize a store: the number of runs, and the models of the newest run."""
    if not runs:
        return f"{folder} has no runs yet: saevit profile, compare and eval store their results there."
    head = f"{plural(len(runs), 'run')} in {folder}"
    readable = [run for run in runs if not run.problem]
    if not readable:
        return f"{head}; none can be read."
    newest = max(readable, key=lambda run: run.started or "")
    when = (newest.started or "")[:16].replace("T", " ")
    names = list(short_names(newest.subjects).values())
    models = names[0] if len(names) == 1 else f"{names[0]} and {plural(len(names) - 1, 'other model')}"
    what = "an evaluation" if newest.is_evaluation else plural(newest.rounds, "round")
    return f"{head}; the newest is of {when} UTC: {models}, {what}."


def summarize_run(run: Run) -> str:
    """Summarize a stored run: the top-1 of an evaluation, or the fastest and the slowest configuration."""
    if run.top1s:
        top = run.top1s[0]
        return write_accuracy_sentence(top.model, top.share, top.data, top.split)
    timed = [one for one in run.timed if one.samples]
    if not timed:
        reason = next(iter(run.failures.values()), "no round was finished")
        return f"No model was timed: {reason}."
    names = name_configurations(timed)
    fastest, *others = sorted(timed, key=lambda one: median(one.seconds_per_image))
    time = f"{milliseconds(median(fastest.seconds_per_image))} ms per image"
    if not others:
        return f"{name_model(fastest.name)} takes {time} ({plural(run.rounds, 'round')})."
    of = f" of {name_model(fastest.name)}" if len({one.name for one in timed}) == 1 else ""
    kind = "configurations" if len({one.name for one in timed}) < len(timed) else "models"
    second, slowest = others[0], others[-1]
    head = f"{names[fastest.label]} is the fastest of {len(timed)} {kind}{of}, {time}"
    if len(others) > 1 and not is_slower(second, fastest):
        both = f"{names[fastest.label]} and {names[second.label]}"
        head = f"{both} are the fastest of {len(timed)} {kind}{of} (not resolved), {time}"
    name, change = names[slowest.label], ratio(slowest.seconds_per_image, fastest.seconds_per_image)
    if not is_slower(slowest, fastest):
        interval = write_ratio_interval(change)
        return f"The differences in time between {len(timed)} {kind}{of} are not resolved: {interval}."
    return f"{head}; {name} takes {write_ratio_interval(change)} times as long."


def is_slower(subject: Subject, other: Subject) -> bool:
    """Tell whether a subject takes significantly more time per image than another one."""
    return ratio(subject.seconds_per_image, other.seconds_per_image).verdict == "slower"


def name_configurations(subjects: Sequence[Subject]) -> dict[str, str]:
    """Return a short name for each label: the model, the conditions that differ, or both."""
    differing = find_differing(one.conditions for one in subjects)
    models = short_names(dict.fromkeys(one.name for one in subjects))
    names = {}
    for one in subjects:
        parts = [models[one.name]] if len(models) > 1 else []
        if sum(other.name == one.name for other in subjects) > 1:
            parts += [f"{column.head} {column.cell(one.conditions)}" for column in differing]
        names[one.label] = ", ".join(parts)
    return names


def summarize_diff(found: Diff, first: str, second: str) -> str:
    """Summarize the difference of two runs: the number of changes, and the largest change."""
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
