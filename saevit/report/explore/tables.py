"""What an exploration found, as tables whose first column `saevit profile` takes as it is."""

from collections.abc import Sequence

from saevit.explore.quantities import QUANTITIES
from saevit.explore.exploration import Exploration, CountedVariant
from saevit.explore.solve import Sensitivity, Solution, Step
from saevit.report.tables import NONE, Table
from saevit.report.units import giga, plural, scaled, size

MOST_ROWS = 30
COLUMNS = (
    ("variant", "l"),
    ("GMACs", "r"),
    ("params", "r"),
    ("activations", "r"),
    ("peak act.", "r"),
    ("traffic", "r"),
    ("capacity", "r"),
    ("rho", "r"),
)
SCORE = (
    "capacity: entropy of the architecture as in DeepMAD (arXiv 2303.02165), and rho its depth over mean "
    "width; a training-free score, no accuracy, and blind to sampling rates"
)


def explore_tables(found: Exploration) -> tuple[Table, ...]:
    """Return the front, and the best by the ranking."""
    return (front_table(found), *([top_table(found)] if found.top else []))


def front_table(found: Exploration) -> Table:
    """The front, thinned evenly where it is long, and the variant that the space is around."""
    question = found.question
    shown = thinned(found.front, MOST_ROWS)
    names = ", ".join(f"{QUANTITIES[n].label} ({QUANTITIES[n].better})" for n in question.objectives)
    notes = [
        f"{len(shown)} of {plural(len(found.front), 'variant')} on the front, evenly thinned: --csv has all"
    ]
    if len(shown) == len(found.front):
        notes = []
    return Table(
        title=f"Front of {names}",
        columns=COLUMNS,
        rows=tuple(cells(row) for row in shown),
        notes=(*notes, *remarks(found)),
    )


def top_table(found: Exploration) -> Table:
    """The best by one quantity."""
    question = found.question
    quantity = QUANTITIES[question.rank]
    least = "least" if quantity.better == "min" else "most"
    where = "of the front" if found.answer.kept is None else "of all within the limits"
    return Table(
        title=f"{plural(len(found.top), 'variant')} with {least} {question.rank}, {where}",
        columns=COLUMNS,
        rows=tuple(cells(row) for row in found.top),
    )


def cells(row: CountedVariant) -> tuple[str, ...]:
    """One variant."""
    return (
        row.model,
        giga(row.macs),
        scaled(row.params),
        scaled(row.activations),
        size(row.peak_bytes),
        size(row.traffic_bytes),
        f"{row.capacity:.1f}",
        f"{row.effectiveness:.3f}",
    )


def thinned(rows: Sequence[CountedVariant], most: int) -> list[CountedVariant]:
    """Return so many rows at even distances, both ends among them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def remarks(found: Exploration) -> list[str]:
    """What a reader has to know: how it was found, within which limits, where the base stands."""
    question, said = found.question, found.answer
    height, width = question.img_size
    space = f"{question.space.size:,} combinations of choices"
    notes = [
        {
            "exhaustive": f"{space}, all looked at; {said.invalid:,} are no networks (heads do not divide)",
            "dp": f"{space}; exact, by dynamic programming over the stages",
            "sample": f"{space}, {said.seen:,} drawn with seed {said.search.seed}: a better one may exist",
        }[said.search.method]
    ]
    limits = [limit.text for limit in question.limits] + ["--monotone"] * question.rising
    if limits:
        within = "" if said.kept is None else f": {said.kept:,} variants"
        notes.append(f"within {', '.join(limits)}{within}")
    notes.append(
        f"counts of one image of {height} x {width} px; bytes are fp32; any row is a VARIANT of profile"
    )
    if "capacity" in (*question.objectives, question.rank):
        notes.append(SCORE)
    return [*notes, *beside_base(found)]


def beside_base(found: Exploration) -> list[str]:
    """Say what the front offers instead of the variant that the space is around."""
    base = found.base
    text = (
        f"{base.model}: {giga(base.macs)} GMACs, capacity {base.capacity:.1f}, rho {base.effectiveness:.3f}"
    )
    if not {"gmacs", "capacity"} <= set(found.question.objectives):
        return [text]
    cheaper = [row for row in found.front if row.capacity >= base.capacity and row.macs < base.macs]
    if cheaper:
        best = min(cheaper, key=lambda row: row.macs)
        text += f"; as much capacity from {giga(best.macs)} GMACs: {best.model}"
    return [text]


def solution_table(found: Solution) -> Table:
    """The largest value that fits, and the next one."""
    rows = [(found.value, "fits", *cells(found.row))]
    if found.next_row is not None and found.next_value is not None:
        rows.append((found.next_value, "too much", *cells(found.next_row)))
    rows.append(("", "as given", *cells(found.base)))
    return Table(
        title=f"Largest {found.key} within {giga(found.target)} GMACs",
        columns=((found.key, "l"), ("", "l"), *COLUMNS),
        rows=tuple(rows),
        notes=("the heads of a stage follow its channels where these are solved for",),
    )


def sensitivity_table(found: Sensitivity) -> Table:
    """What a step of each key costs, the dearest first."""
    height, width = found.img_size
    return Table(
        title=f"{found.base.model}: what one step of each key costs at {height} x {width} px",
        columns=(
            ("key", "l"),
            ("from", "r"),
            ("to", "r"),
            ("MACs", "r"),
            ("", "r"),
            ("params", "r"),
            ("", "r"),
            ("activations", "r"),
            ("", "r"),
        ),
        rows=tuple(step_cells(step, found.base) for step in found.steps),
        notes=(
            f"of {giga(found.base.macs)} GMACs, {scaled(found.base.params)} parameters, "
            f"{scaled(found.base.activations)} activations; every other key as it is, heads follow channels",
        ),
    )


def step_cells(step: Step, base: CountedVariant) -> tuple[str, ...]:
    """One step."""
    texts = [step.key, step.old, step.new]
    for field in ("macs", "params", "activations"):
        change = step.change(base, field)
        texts += [signed(change), f"{100 * change / getattr(base, field):+.1f} %" if change else NONE]
    return tuple(texts)


def signed(value: int) -> str:
    """Write a change with its sign."""
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{scaled(abs(value))}"
