"""The application `saevit`: its commands, and the conversion of errors to one line and an exit code."""

import errno
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Annotated

import typer
import typer.main

from saevit import __version__
from saevit.errors import OptionError, SaevitError, nearest
from saevit.files import expand
from saevit.text import abbreviated
from saevit_cli import display, terminal
from saevit_cli.help_page import PlainCommand, PlainGroup
from saevit_cli.output import FAILED, INTERRUPTED, STDOUT

BAD_INPUT = 2
TRACEBACK = "--traceback"
MOST_COLUMNS = 100  # maximum width of help
VERBOSE = ("--verbose", "-v")
COMPLETING = "_SAEVIT_COMPLETE"  # environment variable of shell completion
STDOUT_PATHS = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # errors of the machine, not of the path

# Summaries for `saevit --help`, which imports no command. A command is imported when it runs.
SUMMARIES = {
    "profile": "Count one model exactly, time it, and show the cost of each part.",
    "compare": "Compare models: exact counts, one interleaved timing run, published or measured top-1.",
    "explore": "Search a space of variants by costs: fronts, the best within limits, the largest for "
    "a budget.",
    "visualize-attention": "Show which pixels of an image the attention of a model samples and selects.",
    "eval": "Measure the accuracy of trained weights: top-1 and top-5 with intervals, calibration, "
    "throughput.",
    "train": "Train a variant or a timm model with a published recipe; --resume continues a stopped run.",
    "export": "Write a network as ONNX, torch.export, OpenVINO, ExecuTorch, timm (each verified) or "
    "Core ML files.",
    "doctor": "Show what works here: packages, machine, folders, and which differences in time are resolved.",
    "list": "Show the presets and the keys of variants.",
    "results": "List, show, compare and export stored runs.",
}
# Examples at the end of the help of each command.
EXAMPLES = {
    "profile": (
        "profile saevit_small --rates 4,4,2,1 --by block",
        "profile resnet18 --runtime eager,compile --plot resnet18.png",
    ),
    "compare": (
        "compare saevit_tiny mobilenetv4_conv_medium --plot models.png",
        "compare saevit_pico mobilenetv4_conv_small --top1 photos --train",
    ),
    "explore": (
        "explore --gmacs-band 0.8±1% --max-params 8 --csv front.csv",
        "explore saevit_small --dims1 24:64:8 --depths3 4:12 --measure-top 3",
    ),
    "visualize-attention": (
        "visualize-attention saevit_small --query 256,200",
        "visualize-attention --checkpoint best.safetensors --image photos",
    ),
    "eval": (
        "eval --checkpoint runs/saevit_pico-digits/best.safetensors",
        "eval --checkpoint best.safetensors --data photos --json result.json",
    ),
    "train": ("train saevit_pico --epochs 30", "train saevit_small --data photos --set batch_size=256"),
    "export": (
        "export saevit_tiny --format onnx,openvino --output exported",
        "export --checkpoint best.safetensors --format timm --output my_model",
    ),
    "doctor": ("doctor", "doctor --no-measure --json doctor.json"),
    "list": ("list", "list --format json"),
    "results list": ("results list", "results list --store measurements"),
    "results show": ("results show latest", "results show latest --format json"),
    "results diff": (
        "results diff 20261126 latest",
        "results diff laptop.jsonl server.jsonl --reference saevit_tiny",
    ),
    "results export": ("results export --output all.csv", "results export latest --output latest.json"),
}
# Module and function of commands whose module has another name.
FUNCTIONS = {
    "visualize-attention": ("visualize_attention", "visualize_attention"),
    "eval": ("evaluate", "evaluate"),
    "list": ("list", "list_variants"),
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
    traceback: Annotated[  # only for help: `run_command` removes --traceback from the arguments
        bool, typer.Option(TRACEBACK, help="Show the traceback of an error and the warnings of libraries.")
    ] = False,
) -> None:
    """Explore SAEViT, a light hybrid of convolution and sparse attention.

    Every number is shown with its source; measured numbers come from interleaved rounds on this machine.
    """


def make_application(loaded: Collection[str]) -> typer.Typer:
    """Return the application. Commands that are not in `loaded` have a name and a summary only."""
    app = typer.Typer(
        name="saevit",
        cls=PlainGroup,
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": MOST_COLUMNS},
    )
    app.callback()(callback)
    for name, summary in SUMMARIES.items():
        if name in loaded:
            add_command(app, name)
        else:
            app.command(name, help=summary, cls=PlainCommand)(lambda: None)  # never runs
    return app


def add_command(app: typer.Typer, name: str) -> None:
    """Import the module of a command, and add its function or its group of commands."""
    from saevit_cli.options import with_style

    module, function = FUNCTIONS.get(name, (name, name))
    command = getattr(import_module(f"saevit_cli.commands.{module}"), function)
    if isinstance(command, typer.Typer):
        for part in command.registered_commands:
            part.cls = PlainCommand
            part.help = unwrap(getattr(part.callback, "__doc__", ""))
            part.epilog = show_examples(f"{name} {part.name}")
            assert part.callback is not None
            part.callback = with_style(part.callback)
        app.add_typer(command, name=name, cls=PlainGroup)
        return
    kind = PlainCommand
    if name == "explore":
        from saevit_cli.commands.explore_options import KeysAsOptions

        kind = KeysAsOptions
    app.command(name, cls=kind, help=unwrap(command.__doc__), epilog=show_examples(name))(with_style(command))


def unwrap(text: str | None) -> str:
    """Return a docstring with one line per paragraph; the help page wraps the lines."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def show_examples(name: str) -> str:
    """Return the examples of a command, one line each."""
    return "\n".join(f"saevit {example}" for example in EXAMPLES[name])


def find_commands(arguments: Sequence[str]) -> Collection[str]:
    """Return the commands to load: the command in the arguments, or all for shell completion."""
    if COMPLETING in os.environ:
        return SUMMARIES
    return [argument for argument in arguments if not argument.startswith("-")][:1]


def main() -> None:
    """Run the command line; the exit code is 0, 1 (something failed), 2 (bad input) or 130 (interrupted)."""
    stdout, arguments = terminal.open_streams(), sys.argv[1:]
    if not {TRACEBACK, *VERBOSE} & set(arguments):
        terminal.silence_libraries(lambda error: explain(error or RuntimeError("in a thread"), arguments))
    if stdout is None:
        sys.exit(complain("stdout is closed: send it to a file, or to /dev/null", FAILED))
    with terminal.interrupt_on_signals() as signals:
        code = run_command(arguments)
    if signals and code == FAILED:  # a library caught the interrupt, and the command failed later
        code = complain("interrupted", INTERRUPTED)
    sys.stdout.flush()
    if stdout.problem and not isinstance(
        stdout.problem, BrokenPipeError
    ):  # a reader may stop early: `| head`
        code = complain(f"stdout cannot be written: {stdout.problem.strerror}", code or FAILED)
    sys.exit(code)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; write any error as one line on stderr."""
    try:
        return invoke(expand_words([word for word in arguments if word != TRACEBACK]))
    except SystemExit:  # raised by completion in a shell
        raise
    except BaseException as error:
        return explain(error, arguments)


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code; raise errors."""
    command = typer.main.get_command(make_application(find_commands(arguments)))
    if COMPLETING in os.environ:
        command.main(arguments, "saevit")
    try:
        with command.make_context("saevit", arguments) as context:
            return int(command.invoke(context) or 0)
    except typer.Exit as done:
        return int(done.exit_code)


def expand_words(arguments: Sequence[str]) -> list[str]:
    """Expand `@3` (a row of the last exploration), `~` in `--store=~/x`, and paths of stdout (to `-`).

    Raises:
        OptionError: an option has an empty value (`--img-size "$SIZE"` without SIZE), or the row does not
            exist.
    """
    words = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if not value and (equals or (not name and before.startswith("--"))):
            raise OptionError(f"{name or before} has an empty value: fill it in, or leave both out")
        value = STDOUT if value in STDOUT_PATHS else value
        if value.startswith("@"):
            from saevit.explore.last_rows import read_row

            value = read_row(value)
        words.append(f"{name}{equals}{expand(value) if value.startswith('~') else value}")
    return words


def explain(error: BaseException, arguments: Sequence[str]) -> int:
    """Write an error as one line on stderr, and return the exit code."""
    if TRACEBACK in arguments:
        traceback.print_exception(error)
    if is_interrupt(error):
        return complain("interrupted", INTERRUPTED)
    if isinstance(error, SaevitError):
        return complain(str(error))
    if type(error) is typer.BadParameter and error.param:  # from the parser of an option
        name = error.param.opts[0] if error.param.param_type_name == "option" else error.param.metavar
        if choices := getattr(getattr(error.param, "type_descriptor", None), "choices", None):
            word = error.message.partition("'")[2].partition("'")[0]
            return complain(f"{name} {word!r} is not available: {nearest(word, choices)}")
        return complain(f"{name} {error.message.removeprefix('Value error, ')}")
    if isinstance(error, typer.TyperException):
        return complain(error.format_message() if hasattr(error, "format_message") else str(error))
    if isinstance(error, OSError) and error.filename is not None:
        code = FAILED if error.errno in MACHINE_ERRORS else BAD_INPUT
        return complain(f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}", code)
    message = abbreviated(" ".join(f"{type(error).__name__}: {error}".split()), 200)
    return complain(f"{message} (unexpected; {save_traceback(error, arguments)})", FAILED)


def is_interrupt(error: BaseException | None) -> bool:
    """Tell whether an error is an interrupt, or was caused by one."""
    seen: set[int] = set()  # the chain of causes may be a cycle
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt | typer.Abort):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def save_traceback(error: BaseException, arguments: Sequence[str]) -> str:
    """Write arguments, versions and traceback to a temporary file; return a text that names the file."""
    import tempfile
    from importlib import metadata

    try:
        torch = metadata.version("torch")
        versions = f"saevit {__version__}, Python {sys.version}, torch {torch}, {sys.platform}"
        text = "\n".join([repr(arguments), versions, *traceback.format_exception(error)])
        handle, name = tempfile.mkstemp(prefix="saevit-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except Exception:  # for example a full disk; the caller still reports the error
        return f"{TRACEBACK} shows the traceback"
    return f"traceback and versions are in {name}"


def complain(message: str, code: int = BAD_INPUT) -> int:
    """Write an error on stderr unless the message is empty, and return the exit code."""
    if message:
        display.complain(message)
    return code
