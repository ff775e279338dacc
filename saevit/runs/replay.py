"""A stored run as the timings that it was when it was measured."""

from saevit.runs.profile import Latency, Timings
from saevit.runs.run import StoredRun

UNFINISHED = "no round was finished"


def timings_of(run: StoredRun) -> Timings:
    """Return the timings of a run, in the order of its subjects; every statistic is computed anew."""
    latencies = tuple(
        Latency(
            label=subject.label,
            conditions=subject.conditions,
            samples=(samples := run.samples(subject.label)),
            notes=subject.notes if samples else (),
            failure=None if samples else run.failures.get(subject.label, UNFINISHED),
        )
        for subject in run.header.subjects
        if subject.quantity == "latency"
    )
    twins = [s.label for s in run.header.subjects if s.quantity == "latency_again"]
    return Timings(
        latencies=latencies,
        twin=run.samples(twins[0]) if twins else (),
        rounds=len(run.rounds),
        min_time=run.header.min_time,
        seed=run.header.seed,
        environment=run.header.environment,
        started=run.header.started,
        load_before=run.header.load_before,
        interrupted=run.ending != "finished",
    )
