"""`saevit compare`."""

import shlex
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import typer

import saevit
from saevit.errors import OptionError
from saevit_cli import options, output, readers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from saevit.compare.comparison import Comparison
    from saevit.compare.measured import MeasuredOn
    from saevit.measure.plan import Plan
    from saevit.runs.record import Dtype

# The presets, and models that lead at their budgets; sized for two cores and three minutes.
DEFAULT = (
    "saevit_tiny",
    "saevit_pico",
    "saevit_nano",
    "saevit_small",
    "saevit_base",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small.e2400_r224_in1k",
    "mobilenetv4_conv_medium.e500_r256_in1k",
    "efficientnet_b0",
    "repvit_m0_9",
    "repvit_m1_1",
    "fastvit_t8.apple_in1k",
    "efficientvit_b1",
    "mobilevitv2_100",
    "edgenext_small",
    "efficientformer_l1",
    "starnet_s4",
    "saevit_claim_0.8g",
    "saevit_claim_1.3g",
)


PUBLISHED = "published"
# What a stored run was measured with.
MEASURED_WITH = (
    "img_size",
    "batch_size",
    "device",
    "dtype",
    "runtime",
    "threads",
    "memory_format",
    "rounds",
    "min_time",
    "measure",
    "fold",
    "force",
)
AXES = ("gmacs", "latency")  # what papers plot, and what this machine says


def compare(
    context: typer.Context,
    models: options.Models = None,
    group: options.Group = None,
    reference: options.Reference = None,
    img_size: options.ImgSize = "224",
    batch_size: options.OneBatch = "1",
    device: options.Device = "auto",
    dtype: options.DtypeName = "fp32",
    runtime: options.OneRuntime = "eager",
    threads: options.Threads = None,
    memory_format: options.Layout = "contiguous",
    rounds: options.Rounds = "15",
    min_time: options.MinTime = "0.1",
    measure: options.Measure = True,
    from_store: options.FromStore = None,
    fold: options.Fold = True,
    force: options.Force = False,
    sort: options.Sort = None,
    x: options.AxisX = None,
    y: options.AxisY = None,
    top1: options.Top1 = None,
    plot: options.Scatter = None,
    report: options.Report = None,
    json: options.Json = None,
    csv: options.Csv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Set models side by side: exact counts, one interleaved timing run, published accuracies."""
    from saevit.measure.plan import Plan

    view = View(
        sort=sort,
        x=readers.read_names(x) if x else None,
        y=y,
        is_timed=measure,
        plot=plot,
        report=report,
        json=json,
        csv=csv,
    )
    if from_store:
        check_as_measured(context)
    source = located(from_store, store) if from_store else None
    view.check(overwrite=overwrite, source=source)
    names = [*(models or ()), *(group or ())]
    accuracies = Accuracies(text=top1, folder=store)
    if source:
        found = stored(source, names, reference, accuracies)
    else:
        plan = Plan(
            batch_sizes=(readers.read_count("--batch-size", batch_size),),
            device=device,
            runtimes=(runtime,),
            threads=readers.read_threads(threads),
            memory_format=readers.read_layout(memory_format),
            rounds=readers.read_rounds(rounds),
            min_time=readers.read_min_time(min_time),
            fold=fold,
            force=force,
        )
        size, precision = readers.read_size(img_size), readers.read_dtype(dtype)
        found = run(names or DEFAULT, reference, size, precision, plan if measure else None, accuracies, view)
    written = view.emit(found)
    interrupted = found.timings if not from_store else None
    raise typer.Exit(output.exit_code(interrupted, failed=found.failed or not written))


def run(
    names: "Sequence[str]",
    reference: str | None,
    img_size: tuple[int, int],
    dtype: "Dtype",
    plan: "Plan | None",
    accuracies: "Accuracies",
    view: "View",
) -> "Comparison":
    """Build, count and time the models, with a bar and a store."""
    from saevit.compare.compare import compare, expected, resolved

    models = resolved(names)
    base = resolved([reference])[0] if reference else None
    measured = accuracies.chosen()
    if view.plot:
        view.drawn_axes(expected(models, img_size, measured, is_timed=plan is not None))
    with output.kept(accuracies.folder, wanted=plan is not None) as writer, output.progress() as tell:
        found = compare(
            models,
            reference=base,
            img_size=img_size,
            dtype=dtype,
            plan=plan,
            on_step=lambda step: tell(step.text, step.done, step.eta),
            writer=writer,
            measured=measured,
        )
    return accuracies.hinted(found)


def check_as_measured(context: typer.Context) -> None:
    """Refuse options that say how to measure, given beside a run that is measured already."""
    for param in context.command.params:
        source = context.get_parameter_source(str(param.name))
        if param.name in MEASURED_WITH and source is not None and source.name == "COMMANDLINE":
            value = context.params[param.name]
            given = f"{param.opts[0]} {value}"
            if isinstance(value, bool):
                given = (param.opts if value else param.secondary_opts)[0]
            raise OptionError(
                f"{given}: --from-store shows a run as it was measured; leave one of the two out"
            )


def located(run: str, folder: "Path | None") -> "Path":
    """Return the file of a stored run that was timed."""
    from saevit.runs.store import locate

    return locate(run, folder, timed=True, on_skip=output.warn)


def stored(
    run: "Path", names: "Sequence[str]", reference: str | None, accuracies: "Accuracies"
) -> "Comparison":
    """Read a comparison back, with the accuracies that it was shown with unless others are asked for."""
    from saevit.compare.compare import resolved
    from saevit.compare.stored import comparison_of, measured_then
    from saevit.runs.store import read

    found = read(run)
    for warning in found.warnings:
        output.warn(warning)
    definition = found.header.environment.network
    measured = accuracies.chosen(definition) if accuracies.text else measured_then(found)
    base = resolved([reference])[0] if reference else None
    return accuracies.hinted(comparison_of(found, resolved(names), base, measured))


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """Which accuracies are shown: published ones, or those of evaluations in a folder of runs."""

    text: str | None
    folder: "Path | None"

    def chosen(self, definition: int = saevit.NETWORK) -> "MeasuredOn | None":
        """Return the measured ones that were asked for, of a definition of the network; None: published."""
        from saevit.compare.measured import chosen
        from saevit.runs.evaluation import measured_here

        if self.text in (None, PUBLISHED):
            return None
        return chosen(str(self.text), measured_here(self.folder, output.warn), definition)

    def hinted(self, found: "Comparison") -> "Comparison":
        """Say what was measured here too, where published accuracies are shown and nothing was asked for."""
        from saevit.compare.measured import with_hints
        from saevit.runs.evaluation import measured_here

        if found.top1_on or self.text:
            return found
        try:
            return with_hints(found, measured_here(self.folder, output.warn))
        except OptionError:  # a store that cannot be read: the comparison is worth showing all the same
            return found


@dataclass(frozen=True, kw_only=True)
class View:
    """How a comparison is shown, and where."""

    sort: str | None
    x: tuple[str, ...] | None
    y: str | None
    is_timed: bool
    plot: "Path | None"
    report: "Path | None"
    json: str | None
    csv: str | None

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of the fronts, and of the plot unless these make none."""
        return self.x or (AXES if self.is_timed else AXES[:1])

    def check(self, *, overwrite: bool, source: "Path | None") -> None:
        """Refuse, before any work, what cannot be shown or written; `source` is a run that is read."""
        from saevit.report import metrics
        from saevit.report.figure import FORMATS

        metrics.sorted_by((), self.sort)
        metrics.check_axes(self.x or (), self.y or "top1")
        output.check_targets(
            (("--json", self.json), ("--csv", self.csv), ("--plot", self.plot), ("--report", self.report)),
            overwrite=overwrite,
            inputs=[("--from-store", source)],
            endings={"--plot": FORMATS, "--report": (".html",)},
        )

    def emit(self, found: "Comparison") -> bool:
        """Show the table, unless data go to stdout, then write what was asked for. Was all of it written?"""
        from saevit.report.views import compare as view

        if output.STDOUT not in (self.json, self.csv):
            output.show((view.tabulate_comparison(found, self.sort, self.axes),))
        return output.write_all(
            ("--json", self.json, lambda: view.write_comparison_json(found)),
            ("--csv", self.csv, lambda: view.write_comparison_csv(found)),
            ("--report", self.report, lambda: page(found)),
            ("--plot", self.plot, lambda: self.drawn(found)),
        )

    def drawn(self, found: "Comparison") -> "Callable[[Path], None]":
        """Draw the plot, and say so where its axes are others than usual."""
        from saevit.report.figure import save
        from saevit.report.scatter import scatter_figure

        xs, y, why = self.drawn_axes(found)
        if why:
            output.say(f"{why}; --plot shows {y} against {' and '.join(xs)} instead")
        return partial(save, scatter_figure(found, xs, y))

    def drawn_axes(self, found: "Comparison") -> "tuple[Sequence[str], str, str | None]":
        """Return the axes of the plot, and why they are others than usual.

        Raises:
            OptionError: the ones asked for make no figure of these models.
        """
        from saevit.report.marks import drawable_axes

        return drawable_axes(found, self.axes, self.y, is_asked=self.x is not None)


def page(found: "Comparison") -> str:
    """Return the HTML report."""
    from saevit.report.html.page import report_html

    return report_html(found, command="saevit " + shlex.join(sys.argv[1:]))
