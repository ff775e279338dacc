"""After the rounds of a profile: the times of modules or of a runtime's operators, and their records."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from saevit.count.model_costs import ModelCosts
from saevit.measure.progress import NextStep, Tell
from saevit.measure.timing import TimingOptions, builder_of
from saevit.runs.record import Conditions, Record, utc_now
from saevit.runs.run import Run
from saevit.runs.store import Writer, keep

if TYPE_CHECKING:
    from saevit.measure.breakdown import ModuleTimes
    from saevit.measure.operator_times import OperatorTimes


def time_paths(
    run: Run, counted: ModelCosts, paths: Sequence[str], timing: TimingOptions, on_progress: Tell
) -> "tuple[Run, ModuleTimes | None]":
    """Time the modules of the breakdown under the first conditions that worked, in eager mode."""
    if run.reference is None or run.interrupted:
        return run, None
    from saevit.measure.breakdown import time_modules

    on_progress(NextStep(text="timing the modules"))
    eager = replace(run.reference.conditions, runtime="eager")
    if eager.dtype == "int8":
        eager = replace(eager, dtype="fp32")
    try:
        eager = choose_form(counted, paths, eager)
        network = builder_of(counted, eager)()
        modules = dict(network.named_modules(remove_duplicate=False))
        times = time_modules(
            network,
            [path for path in paths if path in modules],
            eager,
            channels=counted.in_chans,
            rounds=timing.rounds,
            min_time=timing.min_time,
            seed=timing.seed,
        )
    except KeyboardInterrupt:  # the finished rounds stay
        return replace(run, ending="interrupted"), None
    return run, times


def time_operators_after(
    run: Run, counted: ModelCosts, timing: TimingOptions, on_progress: Tell
) -> "tuple[Run, tuple[OperatorTimes, ...]]":
    """Time the operators of each runtime that profiles them, at its first batch size that worked."""
    from saevit.measure.conditions import place_network
    from saevit.measure.operator_times import time_operators
    from saevit.measure.runtime_profiles import PROFILES

    worked = [subject.conditions for subject in run.timed if subject.samples]
    wanted = {one.runtime: one for one in reversed(worked) if one.runtime in PROFILES and not run.interrupted}
    found: list[OperatorTimes] = []
    if not wanted:
        return run, ()
    try:
        like = next(iter(wanted.values()))
        network = place_network(builder_of(counted, like)(), like)
        for conditions in reversed(wanted.values()):
            on_progress(NextStep(text=f"timing the operators of {conditions.runtime}"))
            times = time_operators(
                network,
                conditions,
                channels=counted.in_chans,
                rounds=timing.rounds,
                min_time=timing.min_time,
                seed=timing.seed,
            )
            found.append(times)
    except KeyboardInterrupt:  # what is measured stays
        return replace(run, ending="interrupted"), tuple(found)
    return run, tuple(found)


def choose_form(counted: ModelCosts, paths: Sequence[str], conditions: Conditions) -> Conditions:
    """Return the conditions for timing modules: as defined, if the folded network lacks one of them."""
    if not conditions.folded:
        return conditions
    defined, folded = (
        dict(builder_of(counted, c)().named_modules())
        for c in (replace(conditions, folded=False), conditions)
    )
    return replace(conditions, folded=all(path in folded for path in paths if path in defined))


def keep_part_times(
    writer: Writer | None,
    model: str,
    run: Run,
    modules: "ModuleTimes | None",
    operators: "Sequence[OperatorTimes]",
) -> Run:
    """Store the times of modules or operators and the end of the run; its rounds are stored already."""
    samples: list[tuple[str, tuple[float, ...], Conditions]] = []
    for times in (*((modules,) if modules else ()), *operators):
        samples += [
            ("latency of the watched pass", times.watched, times.conditions),
            ("latency of the unwatched pass", times.plain, times.conditions),
        ]
    if modules:
        own = {f"own_latency of {path or 'what is elsewhere'}": s for path, s in modules.own.items()}
        samples += [(name, values, modules.conditions) for name, values in own.items()]
    for times in operators:
        taken = {f"latency of operators: {kind.name}": kind.samples for kind in times.kinds}
        taken |= {"latency of the matrix product": times.product, "latency of the triad": times.triad}
        samples += [(name, values, times.conditions) for name, values in taken.items()]

    def write(writer: Writer) -> None:
        for quantity, values, conditions in samples:
            writer.add_record(
                Record(
                    subject=model,
                    quantity=quantity,
                    unit="s",
                    samples=values,
                    source="measured",
                    conditions=conditions,
                    environment=run.environment,
                    time=utc_now(),
                )
            )
        writer.end(interrupted=run.interrupted, failures=run.failures)

    return keep(writer, run, write)
