"""The layout of `--help`: plain text with one section per heading, without broken words."""

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

NO_BRACKETS = str.maketrans("", "", "<>")  # choices are shown as a|b, not as <a|b>
FIXED_SPACE, FIXED_HYPHEN = "\N{NO-BREAK SPACE}", "\N{NON-BREAKING HYPHEN}"


class PlainCommand(TyperCommand):
    """A command whose help has one section per heading of its options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage after the name of the command, with required arguments without braces."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options under their headings, in the order of the parameters."""
        write_sections(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, one per line and without wrapping, so that they can be copied."""
        if self.epilog:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.epilog.splitlines()))


class PlainGroup(TyperGroup):
    """A group whose help shows the whole summary of each command."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options and the commands."""
        write_sections(self, ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in self.commands.items()])


def write_sections(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the arguments and options of a command, one section per heading."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        if record := param.get_help_record(ctx):
            is_argument = param.param_type_name == "argument"
            name = param.metavar if is_argument else record[0].translate(NO_BRACKETS)
            heading = param.rich_help_panel or ("Arguments" if is_argument else "Options")
            sections.setdefault(heading, []).append((name, keep_together(record[1])))
    for heading, rows in sections.items():
        with formatter.section(heading):
            formatter.write_dl(rows)
    formatter.buffer = [
        text.replace(FIXED_SPACE, " ").replace(FIXED_HYPHEN, "-") for text in formatter.buffer
    ]


def keep_together(text: str) -> str:
    """Return a help text with non-breaking hyphens in names and non-breaking spaces in `[default: 15]`."""
    text = text.replace("-", FIXED_HYPHEN)
    pattern = rf"\[(default|env var): [^ ]+\]|{FIXED_HYPHEN} is stdout"
    return re.sub(pattern, lambda found: found[0].replace(" ", FIXED_SPACE), text)
