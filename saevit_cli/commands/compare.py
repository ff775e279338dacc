"""`saevit compare`."""

import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import saevit
from saevit.errors import OptionError
from saevit_cli import options, output, readers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saevit.compare.accuracies import MeasuredOn
    from saevit.compare.comparison import Comparison
    from saevit.measure.timing import TimingOptions
    from saevit.runs.record import Dtype

Models = Annotated[
    list[str] | None,
    options.argument(
        metavar="MODEL",
        help="Variants, published models, groups, timm:NAME, timm:PATTERN or birder:NAME; the default is the "
        "presets and well-known baselines.",
    ),
]
Group = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="NAME",
        help="Add a group of models: core, conv, hybrid, mobile, class-0.8 or class-1.3; repeatable.",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Model that ratios are relative to; the default is the first one."),
]
FromStore = Annotated[
    str | None,
    options.of_time(
        metavar="RUN",
        help="Show a stored run instead of measuring: `latest`, a name in `saevit results list`, or a file.",
    ),
]
Sort = Annotated[
    str | None,
    options.of_output(
        metavar="latency|throughput|gmacs|params|memory|top1",
        help="Order of the rows, the best first; the default is the order given.",
    ),
]
AxisX = Annotated[
    Any,
    options.of_output(
        "--x",
        parser=readers.read_names,
        metavar="NAME,...",
        help="Horizontal axes of the plot and of the Pareto fronts, one panel each: gmacs, params, latency, "
        "throughput, memory; the default is gmacs,latency.",
    ),
]
AxisY = Annotated[
    str | None,
    options.of_output(
        "--y",
        metavar="NAME",
        help="Vertical axis of the plot: top1 or a cost; the default is top1, or a cost if no model has a "
        "top-1.",
    ),
]
Top1 = Annotated[
    str | None,
    options.of_output(
        "--top1",
        metavar="published|SOURCE[@SPLIT]",
        help="Accuracies to show: published ones (the default), or those that `saevit eval` measured on this "
        "dataset, such as digits.",
    ),
]
Plot = Annotated[Path | None, options.plot_option("the models")]
Report = Annotated[
    Path | None,
    options.of_output(
        metavar="FILE.html",
        help="Write an HTML page with a sortable table, plots and raw samples, which needs no network.",
    ),
]

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
    models: Models = None,
    group: Group = None,
    reference: Reference = None,
    img_size: options.ImgSize = "224",
    batch_size: options.BatchSize = 1,
    device: options.Device = "auto",
    dtype: options.Dtype = "fp32",
    runtime: options.Runtime = "eager",
    threads: options.Threads = None,
    memory_format: options.MemoryFormat = "contiguous",
    rounds: options.Rounds = 15,
    min_time: options.MinTime = 0.1,
    measure: options.Measure = True,
    from_store: FromStore = None,
    fold: options.Fold = True,
    force: options.Force = False,
    sort: Sort = None,
    x: AxisX = None,
    y: AxisY = None,
    top1: Top1 = None,
    plot: Plot = None,
    report: Report = None,
    json: options.Json = None,
    csv: options.Csv = None,
    store: options.Store = None,
    overwrite: options.Overwrite = False,
) -> int:
    """Compare models: exact counts, one interleaved timing run, published accuracies."""
    from saevit.measure.timing import TimingOptions

    view = View(
        sort=sort,
        x=x,
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
        plan = TimingOptions(
            batch_sizes=(batch_size,),
            device=device,
            runtimes=(runtime,),
            threads=threads,
            memory_format=memory_format,
            rounds=rounds,
            min_time=min_time,
            fold=fold,
            force=force,
        )
        found = run(names or DEFAULT, reference, img_size, dtype, plan if measure else None, accuracies, view)
    written = view.emit(found)
    interrupted = found.run if not from_store else None
    return output.exit_code(interrupted, failed=found.failed or not written)


def run(
    names: "Sequence[str]",
    reference: str | None,
    img_size: tuple[int, int],
    dtype: "Dtype",
    plan: "TimingOptions | None",
    accuracies: "Accuracies",
    view: "View",
) -> "Comparison":
    """Build, count and time the models, with a bar and a store."""
    from saevit.compare.compare import compare, expected, resolve_models

    models = resolve_models(names)
    base = resolve_models([reference])[0] if reference else None
    measured = accuracies.chosen()
    if view.plot:
        view.drawn_axes(expected(models, img_size, measured, is_timed=plan is not None))
    with output.kept(accuracies.folder, wanted=plan is not None) as writer, output.progress() as tell:
        found = compare(
            models,
            reference=base,
            img_size=img_size,
            dtype=dtype,
            timing=plan,
            on_progress=lambda step: tell(step.text, step.done, step.eta),
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
    from saevit.runs.store import find_run

    return find_run(run, folder, timed=True, on_skip=output.warn)


def stored(
    run: "Path", names: "Sequence[str]", reference: str | None, accuracies: "Accuracies"
) -> "Comparison":
    """Read a comparison back, with the accuracies that it was shown with unless others are asked for."""
    from saevit.compare.accuracies import accuracies_of
    from saevit.compare.compare import comparison_of, resolve_models
    from saevit.runs.store import read_run

    found = read_run(run)
    for warning in found.warnings:
        output.warn(warning)
    definition = found.environment.network
    measured = accuracies.chosen(definition) if accuracies.text else accuracies_of(found)
    base = resolve_models([reference])[0] if reference else None
    return accuracies.hinted(comparison_of(found, resolve_models(names), base, measured))


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """Which accuracies are shown: published ones, or those of evaluations in a folder of runs."""

    text: str | None
    folder: "Path | None"

    def chosen(self, definition: int = saevit.NETWORK) -> "MeasuredOn | None":
        """Return the measured ones that were asked for, of a definition of the network; None: published."""
        from saevit.compare.accuracies import choose_accuracies
        from saevit.runs.evaluation import list_top1s

        if self.text in (None, PUBLISHED):
            return None
        return choose_accuracies(str(self.text), list_top1s(self.folder, output.warn), definition)

    def hinted(self, found: "Comparison") -> "Comparison":
        """Say what was measured here too, where published accuracies are shown and nothing was asked for."""
        from saevit.compare.accuracies import add_hints
        from saevit.runs.evaluation import list_top1s

        if found.top1_on or self.text:
            return found
        try:
            return add_hints(found, list_top1s(self.folder, output.warn))
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

        metrics.sort_candidates((), self.sort)
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
        from saevit.report.figure import save_figure
        from saevit.report.scatter.scatter_plot import scatter_figure

        xs, y, why = self.drawn_axes(found)
        if why:
            output.say(f"{why}; --plot shows {y} against {' and '.join(xs)} instead")
        return partial(save_figure, scatter_figure(found, xs, y))

    def drawn_axes(self, found: "Comparison") -> "tuple[Sequence[str], str, str | None]":
        """Return the axes of the plot, and why they are others than usual.

        Raises:
            OptionError: the ones asked for make no figure of these models.
        """
        from saevit.report.scatter.points import choose_axes

        return choose_axes(found, self.axes, self.y, is_asked=self.x is not None)


def page(found: "Comparison") -> str:
    """Return the HTML report."""
    from saevit.report.html.page import report_html

    return report_html(found, command="saevit " + shlex.join(sys.argv[1:]))
