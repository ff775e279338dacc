"""What others report of their models: one validated table, read without torch, timm or pandas.

Accuracies are copied from the source named beside them. Counts are ours, taken with the packages that
`counted_with` names; MACs are of contractions, at the size the accuracy was taken at. What nobody reported
stays None.
"""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Literal, NamedTuple, get_args

from saevit.baselines import birder_models, timm_models
from saevit.errors import SaevitError

Tier = Literal["core", "extended", "relative", "claim"]
ArchType = Literal["conv", "conv (reparam)", "hybrid", "hybrid (reparam)", "ssm hybrid", "vit", "pooling"]
Distilled = Literal["yes", "no", "none stated", "unknown"]
ExtraData = Literal[
    "none", "none stated", "unknown", "ImageNet-22k", "ImageNet-22k (tag ssld_stage1 = in22k_in1k)"
]
Basis = Literal["counted", "counted, re-parameterised", "published"]

TABLE = "published.csv"
CLAIM = "paper claim, not reproduced here"
COUNTED_WITH = {  # both at batch 1, torch's counter halved
    "timm": "timm 1.0.31, torch 2.15.0 FlopCounterMode",
    "birder": "birder 0.8.4, torch 2.15.0 FlopCounterMode",
}
BIRDER_NAMES = {"pvt_tiny": "pvt_v1_t", **{f"microvit_s{i}": f"microvit_v1_s{i}" for i in (1, 2, 3)}}


class TableError(SaevitError, ValueError):
    """A table whose figures cannot be trusted; names the row and the column."""


class Plotted(NamedTuple):
    """The size and cost at which a model stands in a figure."""

    params_m: float | None  # millions
    gmacs: float | None
    basis: Basis


@dataclass(frozen=True, kw_only=True)
class Published:
    """One model with the weights it was evaluated with: `model_id` is timm's `name.tag`, or a plain name.

    `core` and `extended` rows are timm's; a `relative` is only near in kind, and birder has some of them; a
    `claim` is SAEViT's own paper. The fields are the table's columns, in lower case.
    """

    model_id: str
    family: str
    arch_type: ArchType
    year: int
    arxiv_id: str | None
    tier: Tier
    img_size: int | None  # pixels a side, of the evaluation; None: not reported
    top1: float | None  # ImageNet-1k, per cent
    top5: float | None
    top1_source: str | None
    distilled: Distilled  # "none stated" is no proof that there was none
    extra_data: ExtraData  # labelled data beyond ImageNet-1k
    train_note: str | None
    params_m: float | None  # millions, of the graph as trained
    gmacs: float | None
    params_m_reparam: float | None  # re-parameterised, as `timm_models.build` returns it
    gmacs_reparam: float | None
    reparam_matters: bool | None  # changes either by more than 1 %
    paper_top1: float | None
    paper_params_m: float | None
    paper_gmacs: float | None
    paper_img_size: int | None
    paper_source: str | None
    weights_license: str | None

    @property
    def timm_name(self) -> str | None:
        """`name.tag` as timm knows it, or None where timm has no such model."""
        return self.model_id if self.tier in ("core", "extended") else None

    @property
    def birder_name(self) -> str | None:
        """The name that birder has for it, or None where birder has no such model or timm has it."""
        if self.timm_name or self.gmacs is None:
            return None
        return BIRDER_NAMES.get(self.model_id, self.model_id)

    @property
    def subject(self) -> str:
        """The text by which the model is built: `timm:NAME.TAG`; a plain id has figures only.

        Where birder is installed and has the model, it is `birder:NAME`.
        """
        if self.timm_name:
            return timm_models.PREFIX + self.timm_name
        if self.birder_name and birder_models.is_installed():
            return birder_models.PREFIX + self.birder_name
        return self.model_id

    @property
    def uses_extra_data(self) -> bool:
        """Whether labelled data beyond ImageNet-1k is known to have been used."""
        return self.extra_data not in ("none", "none stated", "unknown")

    @property
    def mark(self) -> str:
        """Where the accuracy comes from, and what sets it apart from plain ImageNet-1k training."""
        if self.tier == "claim":
            return CLAIM
        flags = {"distilled": self.distilled == "yes", "extra data": self.uses_extra_data}
        return ", ".join(["published", *(flag for flag, is_set in flags.items() if is_set)])

    @property
    def counted_with(self) -> str | None:
        """The packages behind `params_m` and `gmacs`, or None where these are blank."""
        if self.gmacs is None:
            return None
        return COUNTED_WITH["timm" if self.timm_name else "birder"]

    @property
    def plotted(self) -> Plotted:
        """Re-parameterised where that matters, else as trained, else what was published."""
        if self.reparam_matters:
            return Plotted(self.params_m_reparam, self.gmacs_reparam, "counted, re-parameterised")
        if self.gmacs is not None:
            return Plotted(self.params_m, self.gmacs, "counted")
        return Plotted(self.paper_params_m, self.paper_gmacs, "published")


@cache
def load() -> tuple[Published, ...]:
    """Return all rows, in the table's order.

    Raises:
        TableError: the installed table is broken.
    """
    return read(resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8"))


def find(text: str) -> Published | None:
    """Return the row of a model id, or of a timm name without its tag; `timm:` may stand before timm's.

    Where several tags of a name have rows, the name alone means the only core one among them; where there is
    not exactly one, it means none. A tag that has no row is not found: its accuracy would be another's. After
    `birder:` stands birder's own name of a relative.
    """
    if text.startswith(birder_models.PREFIX):
        name = text.removeprefix(birder_models.PREFIX)
        return next((row for row in load() if row.birder_name == name), None)
    row = index().get(text.removeprefix(timm_models.PREFIX))
    return None if row and text.startswith(timm_models.PREFIX) and not row.timm_name else row


@cache
def index() -> dict[str, Published]:
    """Return every text without a prefix that `find` knows, with its row."""
    by_name: defaultdict[str, list[Published]] = defaultdict(list)
    for row in load():
        if row.timm_name:
            by_name[row.timm_name.partition(".")[0]].append(row)
    known = {row.model_id: row for row in load()}
    for name, rows in by_name.items():
        candidates = rows if len(rows) == 1 else [row for row in rows if row.tier == "core"]
        if len(candidates) == 1:
            known[name] = candidates[0]
    return known


def read(text: str) -> tuple[Published, ...]:
    """Read the table's text.

    Raises:
        TableError: a cell, a row or the header is not what it has to be.
    """
    header, *lines = cells_of(text) or [[]]
    if header != list(READERS):
        odd = sorted(set(header) ^ set(READERS)) or ["their order"]
        raise TableError(f"{TABLE} line 1: the columns are not those expected ({', '.join(odd)})")
    rows: dict[str, Published] = {}
    for line, cells in enumerate(lines, start=2):
        row = read_row(cells, line)
        if row.model_id in rows:
            raise TableError(f"{place(row.model_id, line)}, model_id: stands twice")
        rows[row.model_id] = row
    return tuple(rows.values())


def cells_of(text: str) -> list[list[str]]:
    """Split the table; no cell of it spans lines."""
    try:
        return list(csv.reader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise TableError(f"{TABLE}: {error}") from error


def read_row(cells: list[str], line: int) -> Published:
    """Read and check one row."""
    where = place(cells[0] if cells else "", line)
    if len(cells) != len(READERS):
        raise TableError(f"{where}: {len(cells)} cells for {len(READERS)} columns")
    values = {}
    for (column, reader), cell in zip(READERS.items(), cells, strict=True):
        try:
            values[column.lower()] = reader(cell)
        except ValueError as error:
            raise TableError(f"{where}, {column}: {error}") from None
    row = Published(**values)
    for column, rule in broken_rules(row):
        raise TableError(f"{where}, {column}: {rule}")
    return row


def place(model_id: str, line: int) -> str:
    """Name a row."""
    return f"{TABLE} line {line} ({model_id or 'no model_id'})"


def broken_rules(row: Published) -> Iterator[tuple[str, str]]:
    """Yield (column, rule) of every rule between columns that the row breaks."""
    if row.timm_name and "." not in row.model_id:
        yield "model_id", "a timm model is named with its tag"
    yield from unsourced(row)
    yield from miscounted(row)
    if row.img_size is None and row.tier != "claim":
        yield "img_size", "an accuracy has the size it was taken at"
    if row.top5 is not None and (row.top1 is None or row.top5 < row.top1):
        yield "top5", "is at least top1"


def unsourced(row: Published) -> Iterator[tuple[str, str]]:
    """Yield the sources that are missing beside published figures."""
    if row.top1_source is None and row.top1 is not None:
        yield "top1_source", "a figure has its source"
    if row.paper_source is None and {row.paper_top1, row.paper_params_m, row.paper_gmacs} != {None}:
        yield "paper_source", "a figure has its source"


def miscounted(row: Published) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the counts: timm's rows have all, a claim none, the others a pair or none."""
    counts = (row.params_m, row.gmacs)
    folded = (row.params_m_reparam, row.gmacs_reparam, row.reparam_matters)
    if (counts[0] is None) != (counts[1] is None):
        yield "gmacs", "parameters and MACs are counted together"
    if row.timm_name and None in (*counts, *folded):
        yield "gmacs_reparam", "a timm model is counted, as trained and re-parameterised"
    if not row.timm_name and any(value is not None for value in folded):
        yield "gmacs_reparam", "only timm models are re-parameterised"
    if row.tier == "claim" and counts != (None, None):
        yield "gmacs", "what was not built was not counted"


def number(low: float, high: float) -> Callable[[str], float | None]:
    """Return a reader of plain decimals in a range; blank is None."""

    def read_number(text: str) -> float | None:
        if not text:
            return None
        if not re.fullmatch(r"\d+(\.\d+)?", text) or not low <= float(text) <= high:
            raise ValueError(f"{text!r} is not a number from {low:g} to {high:g}")
        return float(text)

    return read_number


def whole(low: int, high: int) -> Callable[[str], int | None]:
    """Return a reader of whole numbers in a range; blank is None."""

    def read_whole(text: str) -> int | None:
        if not text:
            return None
        if not re.fullmatch(r"\d+", text) or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read_whole


def one_of(choices: Any) -> Callable[[str], str]:
    """Return a reader of a literal."""

    def read_literal(text: str) -> str:
        if text not in get_args(choices):
            raise ValueError(f"{text!r} is not one of {', '.join(get_args(choices))}")
        return text

    return read_literal


def like(pattern: str) -> Callable[[str], str | None]:
    """Return a reader of text of a form; blank is None."""

    def read_text(text: str) -> str | None:
        if text and not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} has not the form {pattern}")
        return text or None

    return read_text


def needed(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a reader that refuses a blank."""

    def read_needed(text: str) -> Any:
        if not text:
            raise ValueError("is blank")
        return reader(text)

    return read_needed


def yes_or_no(text: str) -> bool | None:
    """Read a flag; blank is None."""
    if text not in ("yes", "no", ""):
        raise ValueError(f"{text!r} is neither yes nor no")
    return text == "yes" if text else None


ANY_TEXT, PERCENT, COUNT, PIXELS = like(r"\S(.*\S)?"), number(0.1, 100), number(0.001, 1000), whole(32, 1024)
READERS: dict[str, Callable[[str], Any]] = {
    "model_id": needed(like(r"[a-z0-9_]+(\.[a-z0-9_]+)?")),
    "family": needed(ANY_TEXT),
    "arch_type": one_of(ArchType),
    "year": needed(whole(2012, 2100)),
    "arxiv_id": like(r"\d{4}\.\d{4,5}"),
    "tier": one_of(Tier),
    "img_size": PIXELS,
    "top1": PERCENT,
    "top5": PERCENT,
    "top1_source": ANY_TEXT,
    "distilled": one_of(Distilled),
    "extra_data": one_of(ExtraData),
    "train_note": ANY_TEXT,
    "params_M": COUNT,
    "gmacs": COUNT,
    "params_M_reparam": COUNT,
    "gmacs_reparam": COUNT,
    "reparam_matters": yes_or_no,
    "paper_top1": PERCENT,
    "paper_params_M": COUNT,
    "paper_gmacs": COUNT,
    "paper_img_size": PIXELS,
    "paper_source": ANY_TEXT,
    "weights_license": ANY_TEXT,
}
assert [column.lower() for column in READERS] == [field.name for field in fields(Published)]
