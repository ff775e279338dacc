"""What others report of their models: one table, read without torch or timm.

Accuracies are copied from the source named beside them. Counts are ours, taken with the packages that
`counted_with` names; MACs are of contractions, at the image size of the accuracy. A figure that was not
reported is None.
"""

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from saevit.baselines import birder_models, timm_models

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


class Plotted(NamedTuple):
    """The size and cost of a model in a figure."""

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
    params_m_reparam: float | None  # re-parameterised, as `timm_models.build_for_inference` returns it
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
def load_rows() -> tuple[Published, ...]:
    """Return all rows, in the table's order; the tests check every cell of it."""
    text = resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    return tuple(map(read_row, csv.DictReader(io.StringIO(text))))


def find_row(text: str) -> Published | None:
    """Return the row of a model id, or of a timm name without its tag; `timm:` may stand before timm's.

    Where several tags of a name have rows, the name alone means the only core one among them; where there is
    not exactly one, it means none. A tag that has no row is not found: its accuracy would be another's. After
    `birder:` comes birder's own name of a relative.
    """
    if text.startswith(birder_models.PREFIX):
        name = text.removeprefix(birder_models.PREFIX)
        return next((row for row in load_rows() if row.birder_name == name), None)
    row = index_rows().get(text.removeprefix(timm_models.PREFIX))
    return None if row and text.startswith(timm_models.PREFIX) and not row.timm_name else row


@cache
def index_rows() -> dict[str, Published]:
    """Return every text without a prefix that `find_row` knows, with its row."""
    by_name: defaultdict[str, list[Published]] = defaultdict(list)
    for row in load_rows():
        if row.timm_name:
            by_name[row.timm_name.partition(".")[0]].append(row)
    known = {row.model_id: row for row in load_rows()}
    for name, rows in by_name.items():
        candidates = rows if len(rows) == 1 else [row for row in rows if row.tier == "core"]
        if len(candidates) == 1:
            known[name] = candidates[0]
    return known


def read_row(cells: dict[str, str]) -> Published:
    """Read one row of the table by the types of its columns."""
    kinds = get_type_hints(Published)
    return Published(**{name.lower(): read_cell(kinds[name.lower()], cell) for name, cell in cells.items()})


def read_cell(kind: Any, cell: str) -> Any:
    """Read a cell as its column's type; a blank one is None."""
    kinds = get_args(kind) or (kind,)
    if not cell:
        return None
    if bool in kinds:
        return cell == "yes"
    return next((number(cell) for number in (int, float) if number in kinds), cell)
