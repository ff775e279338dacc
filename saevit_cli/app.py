"""`saevit`: the application, and the one place where an error becomes a line on stderr and an exit code."""

import os
import sys
from collections.abc import Collection, Sequence
from typing import Annotated

import typer

from saevit import __version__
from saevit.errors import SaevitError
from saevit_cli.output import INTERRUPTED

BAD_INPUT = 2

# What `saevit --help` lists, and no more of a command is loaded until it is asked for.
SUMMARIES = {
    "profile": "Count one model exactly, time it honestly, and show where both go.",
    "compare": "Set models side by side: exact counts, one interleaved timing run, published accuracies.",
    "explore": "Search a whole space of variants by exact costs: fronts, the best within limits, what fits "
    "a budget.",
    "visualize-attention": "Show what attention looks at on your image: where samples are taken, what each "
    "pixel receives.",
    "eval": "Measure what trained weights reach: top-1 and top-5 with intervals, calibration, throughput.",
    "train": "Train a variant or any timm model by a well-known recipe; a run that was stopped goes on with "
    "--resume.",
    "export": "Write a network as ONNX, torch.export or OpenVINO files, each verified before it gets "
    "its name.",
    "list": "Show the presets, and the keys that make variants of them.",
    "results": "List, show, compare and export the measured runs that are kept.",
}


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"saevit {__version__}")
        raise typer.Exit


def callback(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Explore SAEViT, a light hybrid of convolution and sparse attention.

    Every figure says where it came from; measured ones come from interleaved rounds on this machine.
    """


def application(loaded: Collection[str]) -> typer.Typer:
    """Return the application with these commands loaded, the others by name and summary."""
    made = typer.Typer(
        name="saevit",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(callback)
    for name, summary in SUMMARIES.items():
        if name in loaded:
            load(made, name)
        else:
            made.command(name, help=summary)(unloaded)
    return made


def unloaded() -> None:
    """Stand for a command that was not asked for."""
    raise AssertionError("a command ran that was not loaded")


def load(made: typer.Typer, name: str) -> None:
    """Add a command with everything that it has."""
    if name == "profile":
        from saevit_cli.commands.profile import profile

        made.command(name)(profile)
    elif name == "compare":
        from saevit_cli.commands.compare import compare

        made.command(name)(compare)
    elif name == "explore":
        from saevit_cli.commands.explore import explore
        from saevit_cli.commands.explore_options import KeysAsOptions

        made.command(name, cls=KeysAsOptions)(explore)
    elif name == "visualize-attention":
        from saevit_cli.commands.visualize_attention import visualize_attention

        made.command(name)(visualize_attention)
    elif name == "eval":
        from saevit_cli.commands.evaluate import evaluate

        made.command(name)(evaluate)
    elif name == "train":
        from saevit_cli.commands.train import train

        made.command(name)(train)
    elif name == "export":
        from saevit_cli.commands.export import export

        made.command(name)(export)
    elif name == "list":
        from saevit_cli.commands.list import list_variants

        made.command(name)(list_variants)
    elif name == "results":
        from saevit_cli.commands.results import results

        made.add_typer(results, name=name)


def asked_for(arguments: Sequence[str]) -> Collection[str]:
    """Return the commands that may be needed: the one that is named, or all while a shell completes."""
    if any(variable.endswith("_COMPLETE") for variable in os.environ):
        return SUMMARIES
    return [argument for argument in arguments if not argument.startswith("-")][:1]


def main() -> None:
    """Run the command line; the exit code is 0, 1 (something failed), 2 (bad input) or 130 (interrupted)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; every error is one line on stderr."""
    try:
        code = application(asked_for(arguments))(arguments, standalone_mode=False)
    except SaevitError as error:
        return complain(str(error))
    except typer.TyperException as error:
        return complain(error.format_message() if hasattr(error, "format_message") else str(error))
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough (`| head`); what is left has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code or 0


def complain(message: str) -> int:
    """Write one line on stderr and return the exit code for bad input; help alone needs no line."""
    if message:
        typer.echo("error: " + " ".join(message.split()), err=True)
    return BAD_INPUT
