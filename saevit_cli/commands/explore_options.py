"""Options of `saevit explore`, and the readers of their text."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from saevit.decode import check_values
from saevit.errors import OptionError, SaevitError, nearest
from saevit.files import read_bytes
from saevit.text import abbreviated
from saevit.variant import KEYS, NUM_STAGES
from saevit_cli.options import MODEL, OUTPUT, complete_variant

if TYPE_CHECKING:
    from saevit.explore.limits import Limit

LIMITS, SEARCH, FINISH = "Limits", "Search", "Instead, or after it"
MOST_BYTES = 2**16  # of a TOML file
OWN = ("width", "depth", "rates")  # keys that have an option of their own
STAGE_WORDS = tuple(
    f"{key}{i + 1}" for i in range(NUM_STAGES) for key in ("dims", "depths", "heads", "ratios", "rates")
)


class KeysAsOptions(TyperCommand):
    """Takes every key of the grammar as an option: `--dims1 24:64:8` is `--set dims1=24:64:8`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rewrite keys, then parse as usual."""
        words = {f"--{key.replace('_', '-')}": key for key in (*KEYS, *STAGE_WORDS) if key not in OWN}
        words |= {f"--{key}": key for key in words.values()}
        rewritten: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            name, equals, value = word.partition("=")
            if name in words:
                if not equals:
                    if not rest:
                        raise OptionError(f"{name} needs choices, for example {name} 24:64:8")
                    value = rest.pop(0)
                rewritten += ["--set", f"{words[name]}={value}"]
            else:
                rewritten += [word, *([rest.pop(0)] if word == "--set" and rest else [])]
        return super().parse_args(ctx, rewritten)


def option(name: str, metavar: str, text: str, panel: str, kind: Any = str) -> Any:
    """Return an option that is None where it is not given."""
    return Annotated[kind | None, typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel)]


CHOICES = "CHOICE,..|LOW:HIGH:STEP"
Variant = Annotated[
    str,
    typer.Argument(
        metavar="[VARIANT]",
        help="What the space is around: a preset, or PRESET:key=value,... (see `saevit list`).",
        autocompletion=complete_variant,
    ),
]
Width = option("--width", CHOICES, "Multipliers of the channels: 0.5:1.5:0.05.", MODEL)
Depth = option("--depth", CHOICES, "Multipliers of the blocks: 0.5,1,1.5.", MODEL)
Rates = Annotated[
    str | None,
    typer.Option(
        "--rates",
        "--sparsity",
        metavar="R,R,R,R;..",
        help="Sampling rates: '8,4,2,1;4,2,2,1'.",
        rich_help_panel=MODEL,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=CHOICES",
        help="Choices of any key: ratios=3,4. `--dims1 24:64:8` is short for `--set dims1=24:64:8`: dims, "
        "depths, heads, ratios, rates take a stage's number. Repeatable; with no choices at all, the space "
        "is around the variant.",
        rich_help_panel=MODEL,
    ),
]
SpaceFile = option(
    "--space",
    "FILE",
    "A TOML file of choices (dims1 = '24:64:8') and a table of limits (max_gmacs = 0.8).",
    MODEL,
    Path,
)
MaxGmacs = option("--max-gmacs", "X", "At most so many GMACs.", LIMITS)
Band = option("--gmacs-band", "X±P%", "GMACs within a band: 0.8±1% (or 0.8+-1%).", LIMITS)
MaxParams = option("--max-params", "X", "At most so many million parameters.", LIMITS)
MaxActivations = option("--max-activations", "X", "At most so many million activations.", LIMITS)
MaxMemory = option("--max-memory", "X", "At most so many MB of peak activations (fp32).", LIMITS)
MaxTraffic = option("--max-traffic", "X", "At most so many MB of memory traffic (fp32).", LIMITS)
MaxRho = option(
    "--max-effectiveness",
    "X|none",
    "At most this depth over mean width; without choices and with capacity, by default the variant's.",
    LIMITS,
)
Monotone = Annotated[
    bool,
    typer.Option("--monotone", help="Channels never fall from stage to stage.", rich_help_panel=LIMITS),
]
Objectives = option(
    "--objectives",
    "NAME,...",
    "Of the front: gmacs, params, activations, weights, memory, traffic (less is better), capacity (a "
    "training-free score, more is better); by default gmacs,capacity, within a band params,capacity.",
    SEARCH,
)
Rank = Annotated[
    str,
    typer.Option("--rank-by", metavar="NAME", help="What the best are best by.", rich_help_panel=SEARCH),
]
Top = Annotated[
    str, typer.Option("--top", metavar="K", help="How many of the best to show.", rich_help_panel=SEARCH)
]
Method = Annotated[
    str,
    typer.Option(
        "--method",
        metavar="auto|exhaustive|dp|sample",
        help="Every variant; the exact front by dynamic programming; or a seeded sample. auto: every variant "
        "of up to 3 x 10^8, then dp.",
        rich_help_panel=SEARCH,
    ),
]
Samples = Annotated[
    str,
    typer.Option("--samples", metavar="N", help="Variants that `sample` draws.", rich_help_panel=SEARCH),
]
Seed = Annotated[str, typer.Option("--seed", metavar="N", help="Seed of `sample`.", rich_help_panel=SEARCH)]
Jobs = option("--jobs", "N", "Processes; by default one a usable core.", SEARCH)
EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="local|ray",
        help="Where chunks run: here, or on the Ray cluster that `ray` finds (extra `explore`).",
        rich_help_panel=SEARCH,
    ),
]
Resume = option(
    "--resume",
    "FILE",
    "Keep finished chunks in FILE, and go on from it if it exists: the same command again continues.",
    SEARCH,
    Path,
)
Solve = option("--solve", "KEY", "Find the largest value of a key that fits --target-gmacs.", FINISH)
Target = option("--target-gmacs", "X", "The budget of --solve.", FINISH)
Sensitive = Annotated[
    bool,
    typer.Option("--sensitivity", help="Show what one step of each key costs.", rich_help_panel=FINISH),
]
MeasureTop = option(
    "--measure-top",
    "K",
    "Build and time the K best, interleaved with a reference, as `compare` does.",
    FINISH,
)
Reference = option(
    "--reference", "MODEL", "What the times of --measure-top are set against; by default the variant.", FINISH
)
Parquet = option("--parquet", "FILE", "As --csv, in Parquet (needs pyarrow).", OUTPUT, Path)
Plot = option("--plot", "FILE", "Draw the front, or the tornado: .png, .svg or .pdf.", OUTPUT, Path)
Json = option("--json", "FILE|-", "The question and its answer; - is stdout.", OUTPUT)
Csv = option(
    "--csv", "FILE|-", "The front and the best, with their rank among all (dp has none); - is stdout.", OUTPUT
)


def read_texts(
    width: str | None, depth: str | None, rates: str | None, settings: list[str], table: dict[str, str]
) -> dict[str, str]:
    """Return the text of each key's choices; the command line goes before the file.

    Raises:
        OptionError: text that is not KEY=CHOICES, an unknown key, a key given twice.
    """
    from saevit.explore.choices import STAGE_KEYS

    given = {"width": width, "depth": depth, "rates": rates_text(rates)}
    found = {key: text for key, text in given.items() if text is not None}
    for item in settings:
        key, equals, text = (part.strip() for part in item.partition("="))
        known = (*KEYS, *STAGE_KEYS)
        if not equals or not text:
            raise OptionError(
                f"{abbreviated(repr(item))} is not KEY=CHOICES: for example dims1=24:64:8 or ratios=3,4"
            )
        if key not in known:
            raise OptionError(f"{abbreviated(repr(key))} is not a key: {nearest(key, known)}")
        if key in found:
            twice = f"{abbreviated(found[key])} and {abbreviated(text)}"
            raise OptionError(f"{key!r} is given twice ({twice}): write all choices in one")
        found[key] = text
    return table | found


def rates_text(text: str | None) -> str | None:
    """Return the choices of --rates as those of the key: in 8,4,2,1;4,2,2,1 a semicolon separates two."""
    if text is None or "-" in text:
        return text
    return ",".join(one.strip().replace(",", "-") for one in text.split(";"))


def read_file(path: Path | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return the text of the choices in a TOML file, and that of the limits by their options.

    Raises:
        OptionError: no such file, or no such form; names the file and the key.
    """
    import tomllib

    from saevit.explore.choices import read_choices
    from saevit.explore.space import read_table, toml_text

    if path is None:
        return {}, {}
    data = read_bytes(path, most=MOST_BYTES)
    try:
        table = tomllib.loads(data.decode())
        check_values(table)
        limits = table.pop("limits", {})
        if not isinstance(limits, dict):
            raise OptionError("limits is a table, write [limits] and max_gmacs = 0.8 below it")
        if lists := [key for key, value in limits.items() if isinstance(value, list)]:
            raise OptionError(f"limits.{lists[0]} is a list: give one number")
        choices = read_table(table)
        for key, text in choices.items():
            read_choices(key, text)
        names = {option.removeprefix("--").replace("-", "_"): option for option in QUANTITY_OF}
        if unknown := limits.keys() - names.keys():
            raise OptionError(f"limit {min(unknown)!r} is not known: {nearest(min(unknown), names)}")
        bounds = {names[key]: toml_text(f"limits.{key}", value) for key, value in limits.items()}
        read_limits(bounds)
    except SaevitError as error:
        raise OptionError(f"--space {path}: {abbreviated(str(error), 300)}") from error
    except (ValueError, RecursionError) as error:
        raise OptionError(f"--space {path} is not TOML: {abbreviated(str(error), 300)}") from error
    return choices, bounds


def read_limits(texts: dict[str, str]) -> "tuple[Limit, ...]":
    """Return the limits, from the text of each option.

    Raises:
        OptionError: one that is no number.
    """
    from saevit.explore.limits import at_most, band

    return tuple(
        (band if option == "--gmacs-band" else at_most)(option, quantity, texts[option])
        for option, quantity in QUANTITY_OF.items()
        if texts.get(option, "none") != "none"
    )


QUANTITY_OF = {
    "--max-gmacs": "gmacs",
    "--gmacs-band": "gmacs",
    "--max-params": "params",
    "--max-activations": "activations",
    "--max-memory": "memory",
    "--max-traffic": "traffic",
    "--max-effectiveness": "effectiveness",
}
