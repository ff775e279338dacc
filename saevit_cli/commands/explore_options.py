"""Options of `saevit explore`, and the readers of choices and limits from options and a TOML file."""

import tomllib
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saevit.decode import check_values
from saevit.errors import OptionError, SaevitError, nearest
from saevit.files import read_bytes
from saevit.text import MOST_DIGITS, abbreviated
from saevit.variant import KEYS, NUM_STAGES
from saevit_cli import options, readers
from saevit_cli.help_page import PlainCommand
from saevit_cli.options import of_output

if TYPE_CHECKING:
    from saevit.explore.question import Limit

MOST_BYTES = 2**16  # of a TOML file
OWN = ("width", "depth", "rates")  # keys that have their own option
STAGE_WORDS = tuple(
    f"{key}{i + 1}" for i in range(NUM_STAGES) for key in ("dims", "depths", "heads", "ratios", "rates")
)
QUANTITY_OF = {
    "--max-gmacs": "gmacs",
    "--gmacs-band": "gmacs",
    "--max-params": "params",
    "--max-activations": "activations",
    "--max-memory": "memory",
    "--max-traffic": "traffic",
    "--max-latency": "latency",
    "--max-effectiveness": "effectiveness",
}


class KeysAsOptions(PlainCommand):
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


of_space = partial(typer.Option, rich_help_panel="Space")
of_limits = partial(typer.Option, rich_help_panel="Limits")
of_search = partial(typer.Option, rich_help_panel="Search")
of_finish = partial(typer.Option, rich_help_panel="After or instead of the search")
CHOICES = "CHOICES"  # values joined by commas, or LOW:HIGH:STEP


def limit_option(what: str) -> Any:
    """Return the type of an option that is an upper limit."""
    return Annotated[str | None, of_limits(metavar="X", help=f"Upper limit of {what}.")]


Variant = Annotated[
    str,
    typer.Argument(
        metavar="VARIANT",
        help="Base of the space: a preset, or PRESET:key=value,... (see `saevit list`).",
        autocompletion=options.complete_variant,
    ),
]
Width = Annotated[
    str | None,
    of_space(
        metavar=CHOICES,
        help="Multipliers of the channels: values and ranges LOW:HIGH:STEP, such as 0.5:1.5:0.05.",
    ),
]
Depth = Annotated[
    str | None, of_space(metavar=CHOICES, help="Multipliers of the number of blocks, such as 0.5,1,1.5.")
]
Rates = Annotated[
    str | None,
    of_space(
        "--rates",
        "--sparsity",
        metavar=CHOICES,
        help="Sampling rates of the four stages, with a semicolon between choices: '8,4,2,1;4,2,2,1'.",
    ),
]
Set = Annotated[
    list[str] | None,
    of_space(
        "--set",
        metavar="KEY=CHOICES",
        help="Choices of a key, such as ratios=3,4; repeatable. `--dims1 24:64:8` is short for `--set "
        "dims1=24:64:8`; dims, depths, heads, ratios and rates take the number of a stage. Without any "
        "choices, a default space around the base variant is searched.",
    ),
]
SpaceFile = Annotated[
    Path | None,
    of_space(
        metavar="FILE",
        help="TOML file of choices (dims1 = '24:64:8') and a table [limits] (max_gmacs = 0.8).",
    ),
]
MaxGmacs = limit_option("GMACs")
Band = Annotated[
    str | None,
    of_limits(metavar="X±P%", help="Range of GMACs, such as 0.8±1% (or 0.8+-1%)."),
]
MaxParams = limit_option("the parameters, in millions")
MaxActivations = limit_option("the activations, in millions")
MaxMemory = limit_option("the peak memory of activations (fp32), in MB")
MaxTraffic = limit_option("the memory traffic (fp32), in MB")
MaxRho = limit_option(
    "rho, the ratio of depth to mean width; the capacity score means less for deep and narrow networks"
)
Monotone = Annotated[
    bool, of_limits("--monotone", help="Exclude variants with fewer channels than in the stage before.")
]
Objectives = Annotated[
    Any,
    of_search(
        parser=readers.read_names,
        metavar="NAME,...",
        help="Objectives of the front: gmacs, params, activations, weights, memory, traffic, latency (less "
        "is better; latency needs --calibrate once), most-gmacs, most-params (more is better) and capacity "
        "(a training-free score, more is better; its rank correlation with the top-1 of 57 published models "
        "is +0.25, that of MACs +0.67). The default is most-gmacs, or with --max-gmacs most-params, for the "
        "least latency if a calibration applies, otherwise for the fewest params or gmacs. With --gmacs-band "
        "it is params and latency, or params and activations.",
    ),
]
Rank = Annotated[
    str | None,
    of_search(
        metavar="NAME", help="Quantity that ranks the best variants; the default is the last objective."
    ),
]
Top = Annotated[
    int,
    of_search(parser=readers.count_reader(most=10**4), metavar="K", help="Number of best variants to show."),
]
Method = Annotated[
    str,
    of_search(
        metavar="METHOD",
        help="exhaustive: every variant; dp: the exact front by dynamic programming; sample: random "
        "variants; auto: exhaustive up to 3 x 10^8 variants, otherwise dp.",
    ),
]
Samples = Annotated[
    int,
    of_search(
        parser=readers.count_reader(most=10**9), metavar="N", help="Number of variants of --method sample."
    ),
]
Seed = Annotated[
    int,
    of_search(
        parser=readers.count_reader(least=0, most=10**MOST_DIGITS - 1),
        metavar="N",
        help="Random seed of --method sample.",
    ),
]
Jobs = Annotated[
    int | None,
    of_search(
        parser=readers.count_reader(most=readers.MOST_PROCESSES),
        metavar="N",
        help="Number of processes; the default is one per usable core.",
    ),
]
EngineName = Annotated[
    str,
    of_search(
        "--engine",
        metavar="ENGINE",
        help="local: this machine; ray: the Ray cluster that `ray` finds (needs 'saevit[explore]'). "
        "--train-top uses it too.",
    ),
]
Resume = Annotated[
    Path | None,
    of_search(
        metavar="FILE", help="Store finished parts of the search in FILE, and continue from it if it exists."
    ),
]
Solve = Annotated[
    str | None,
    of_finish(
        metavar="KEY", help="Find the largest value of a key, such as width, that fits --target-gmacs."
    ),
]
Target = Annotated[str | None, of_finish(metavar="X", help="Budget of --solve, in GMACs.")]
Sensitive = Annotated[bool, of_finish("--sensitivity", help="Show the cost of one step of each key.")]
MeasureTop = Annotated[
    int | None,
    of_finish(
        parser=readers.count_reader(most=1000),
        metavar="K",
        help="Build and time the K best variants, as many random ones at equal cost (2 %) and a reference in "
        "one interleaved run, as `compare` does, and show how well prediction ranks them.",
    ),
]
Reference = Annotated[
    str | None,
    of_finish(
        metavar="MODEL",
        help="Model that the times of --measure-top are relative to; the default is the base variant.",
    ),
]
Plot = Annotated[Path | None, options.plot_option("the front, or the result of --sensitivity,")]
Csv = Annotated[
    str | None, options.csv_option("one row per variant of the front and of the best, with its rank")
]
Json = Annotated[
    str | None, of_output(metavar="FILE|-", help="Write the search and its results as JSON; - is stdout.")
]
Parquet = Annotated[
    Path | None, of_output(metavar="FILE", help="Write the rows of --csv as Parquet (needs pyarrow).")
]


def read_choice_texts(
    given: dict[str, str | None], settings: list[str], table: dict[str, str]
) -> dict[str, str]:
    """Return the choices of each key as text; the command line replaces those of a file.

    Args:
        given: keys that have their own option.
        settings: KEY=CHOICES.
        table: of the file.

    Raises:
        OptionError: text that is not KEY=CHOICES, an unknown key, a key given twice.
    """
    from saevit.explore.space import STAGE_KEYS

    texts = {key: text for key, text in given.items() if text is not None}
    if "rates" in texts and "-" not in texts["rates"]:  # 8,4,2,1;4,2,2,1: a semicolon separates choices
        texts["rates"] = ",".join(one.strip().replace(",", "-") for one in texts["rates"].split(";"))
    known = (*KEYS, *STAGE_KEYS)
    for item in settings:
        key, equals, text = (part.strip() for part in item.partition("="))
        if not equals or not text:
            raise OptionError(
                f"{abbreviated(repr(item))} is not KEY=CHOICES: for example dims1=24:64:8 or ratios=3,4"
            )
        if key not in known:
            raise OptionError(f"{abbreviated(repr(key))} is not a key: {nearest(key, known)}")
        if key in texts:
            twice = f"{abbreviated(texts[key])} and {abbreviated(text)}"
            raise OptionError(f"{key!r} is given twice ({twice}): write all choices in one")
        texts[key] = text
    return table | texts


def read_space_file(path: Path | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return key to choices and option to limit of a TOML file, both as text.

    Raises:
        OptionError: names the file, and the key whose value is refused.
    """
    from saevit.explore.space import read_choices, toml_text

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
        choices = {key: toml_text(key, value) for key, value in table.items()}
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


def list_limits(given: Mapping[str, Any]) -> dict[str, str]:
    """Return option to text of the limits that the user gave."""
    names = {option: option.removeprefix("--").replace("-", "_") for option in QUANTITY_OF}
    return {option: given[name] for option, name in names.items() if given[name] is not None}


def choose_objectives(limits: Collection[str], *, is_predicted: bool) -> tuple[str, ...]:
    """Return the objectives of a search for which the user gave none.

    They are a cost, of which less is better, and the size of the network, of which more is better. A limited
    size cannot be an objective at the same time, so the parameters replace MACs then. In a band of MACs both
    objectives are costs.

    Args:
        limits: the options of the limits.
        is_predicted: latency can be predicted.
    """
    if "--gmacs-band" in limits:
        return "params", "latency" if is_predicted else "activations"
    if "--max-gmacs" in limits:
        return "latency" if is_predicted else "gmacs", "most-params"
    return "latency" if is_predicted else "params", "most-gmacs"


def read_limits(texts: dict[str, str]) -> "tuple[Limit, ...]":
    """Return the limits from the text of each option.

    Raises:
        OptionError: text that is no number, or no band.
    """
    from saevit.explore.question import read_band, read_limit

    return tuple(
        (read_band if option == "--gmacs-band" else read_limit)(option, quantity, texts[option])
        for option, quantity in QUANTITY_OF.items()
        if option in texts
    )
