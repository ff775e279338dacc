"""Options of `saevit compare`."""

from pathlib import Path
from typing import Annotated, Any

from saevit_cli import options, readers
from saevit_cli.commands import trial_options

MOST_MODELS = 30  # maximum number of models of a pattern without --all

Models = Annotated[
    list[str] | None,
    options.argument(
        metavar="MODEL",
        help="Variants, timm models, published models, groups, birder:NAME, or patterns such as 'resnet*'; "
        "the default is the presets and twelve other models.",
    ),
]
Group = Annotated[
    list[str] | None,
    options.of_model(
        "--group",
        metavar="NAME",
        help="Add a group of models: core, conv, hybrid, mobile, class-0.8 or class-1.3; repeatable.",
    ),
]
AllModels = Annotated[
    bool,
    options.of_model(
        "--all", help=f"Compare all models that a pattern matches, even if there are more than {MOST_MODELS}."
    ),
]
Reference = Annotated[
    str | None,
    options.of_model(
        metavar="MODEL", help="Model that ratios are relative to; the default is the first one."
    ),
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
        metavar="NAME",
        help="Order of the rows, the best first: latency, throughput, gmacs, params, memory or top1; the "
        "default is the order given.",
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
        help="Vertical axis of the plot: top1, or one of --x; the default is top1 if two models or more have "
        "one, otherwise a cost.",
    ),
]
Top1 = Annotated[
    str | None,
    options.of_output(
        "--top1",
        metavar="SOURCE",
        help="Accuracies to show: `published` (the default), or the accuracies that `saevit eval` or --train "
        "measured on a dataset: a folder, icons:FILE (or icons), digits (or digits@train). The default "
        "number of classes and input size are then those of the evaluated networks.",
    ),
]
Train = Annotated[
    bool,
    trial_options.of_trials(
        "--train",
        help="Train the models that have no measured accuracy on the data of --top1, with one recipe and one "
        "budget, and evaluate their final weights. A command that was stopped or killed continues when it is "
        "repeated. Costs are of the networks that are trained.",
    ),
]
Plot = Annotated[Path | None, options.plot_option("the models")]
