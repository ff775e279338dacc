"""Calibrations in the store: the newest one of the conditions and the machine of now."""

from collections.abc import Callable
from pathlib import Path

from saevit.errors import OptionError
from saevit.explore.calibration import Calibration, fit_run, is_calibration
from saevit.explore.latency_parts import PREFIX, check_covers
from saevit.explore.space import Space
from saevit.runs.record import Conditions, Environment
from saevit.runs.store import read_runs

MACHINE = ("cpu", "cpu_capability", "machine", "torch", "network")  # equal for a calibration to apply
PACKAGES = ("onnxruntime", "openvino", "executorch")  # runtimes with a version of their own
ACCELERATOR = ("accelerator", "accelerator_driver", "accelerator_toolkit")
CONDITIONS = ("runtime", "device", "dtype", "batch_size", "threads", "img_size", "memory_format", "folded")


def has_calibration(folder: Path | None) -> bool:
    """Return whether a calibration is stored, of whatever conditions. Raises OptionError as `read_runs`."""
    runs = read_runs(folder, lambda line: None, newest_first=True, having=PREFIX)
    return any(map(is_calibration, runs))


def find_calibration(
    folder: Path | None,
    conditions: Conditions,
    environment: Environment,
    space: Space | None = None,
    on_skip: Callable[[str], object] = lambda line: None,
) -> Calibration:
    """Return the newest stored calibration under these conditions, on this machine, that covers the space.

    Raises:
        OptionError: there is none; the message names the first difference of the newest calibration.
    """
    newest = ""
    for run in read_runs(folder, on_skip, newest_first=True, having=PREFIX):
        if not is_calibration(run):
            continue
        try:
            found = fit_run(run)
            difference = describe_difference(found, conditions, environment)
            if not difference and space is not None:
                check_covers(found.model, space)
        except OptionError as error:
            difference = str(error)
        if not difference:
            return found
        newest = newest or f"; the newest one differs: {difference}"
    raise OptionError(f"no calibration for {conditions} on this machine{newest}")


def describe_difference(found: Calibration, conditions: Conditions, environment: Environment) -> str:
    """Return the first condition, package or part of the machine that differs; empty if none does."""
    names = [*MACHINE, *(ACCELERATOR if conditions.device != "cpu" else ())]
    if conditions.runtime in PACKAGES:
        names.append(conditions.runtime)
    for what, mine, theirs in (
        *((name, getattr(conditions, name), getattr(found.conditions, name)) for name in CONDITIONS),
        *((name, getattr(environment, name), getattr(found.run.environment, name)) for name in names),
    ):
        if mine != theirs:
            return f"{what} {theirs}, here {mine}"
    return ""
