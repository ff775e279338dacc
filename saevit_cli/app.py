"""`saevit`: the application, and the one place where an error becomes a line on stderr and an exit code."""

import os
import sys
from typing import Annotated

import typer

from saevit import __version__
from saevit.errors import SaevitError
from saevit_cli.commands.compare import compare
from saevit_cli.commands.list import list_variants
from saevit_cli.commands.profile import profile
from saevit_cli.commands.results import results
from saevit_cli.output import INTERRUPTED

BAD_INPUT = 2

app = typer.Typer(
    name="saevit",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("profile")(profile)
app.command("compare")(compare)
app.command("list")(list_variants)
app.add_typer(results, name="results")


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"saevit {__version__}")
        raise typer.Exit


@app.callback()
def callback(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Explore SAEViT, a light hybrid of convolution and sparse attention.

    Every figure says where it came from; measured ones come from interleaved rounds on this machine.
    """


def main() -> None:
    """Run the command line; the exit code is 0, 1 (something failed), 2 (bad input) or 130 (interrupted)."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; every error is one line on stderr."""
    try:
        code = app(arguments, standalone_mode=False)
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
