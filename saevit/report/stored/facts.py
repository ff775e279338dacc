"""What a stored run has besides its rounds: values such as counts, and samples such as those of modules."""

from saevit.report.columns import NONE, Table, text_columns
from saevit.report.units import digits, milliseconds, percent, scaled, size
from saevit.runs.record import Record
from saevit.runs.run import Run
from saevit.runs.statistics import summarize

HEADS = {"macs": "MACs", "peak_bytes": "peak act.", "top1": "top-1"}


def facts_tables(run: Run) -> tuple[Table, ...]:
    """Return one line a subject with its values, such as counts; no table where there are none."""
    facts = [fact for fact in run.facts if fact.value is not None]
    if not facts:
        return ()
    heads = dict.fromkeys(head(fact.quantity) for fact in facts)
    lines: dict[tuple[str, str], dict[str, str]] = {}
    sources: dict[str, dict[str, None]] = {}
    for fact in facts:
        where = NONE if fact.conditions is None else str(fact.conditions)
        lines.setdefault((fact.subject, where), {})[head(fact.quantity)] = value_text(fact)
        sources.setdefault(source_text(fact), {})[head(fact.quantity)] = None
    table = Table(
        title="Facts",
        columns=text_columns("model", "conditions", *(f">{name}" for name in heads)),
        rows=tuple((*key, *(found.get(name, NONE) for name in heads)) for key, found in lines.items()),
        notes=tuple(f"{', '.join(of)}: {source}" for source, of in sources.items()),
    )
    return (table.without_empty_columns(),)


def source_text(fact: Record) -> str:
    """Say where a value is from."""
    notes = ", ".join(fact.notes)
    return notes if notes.startswith(fact.source) else f"{fact.source} ({notes})" if notes else fact.source


def samples_tables(run: Run) -> tuple[Table, ...]:
    """Return a table for each subject and conditions that were sampled besides the rounds, as modules are."""
    groups: dict[str, list[Record]] = {}
    for fact in run.facts:
        if fact.samples:
            where = fact.subject if fact.conditions is None else f"{fact.subject}, {fact.conditions}"
            groups.setdefault(where, []).append(fact)
    heads = ("", ">median", ">quartiles", "unit", ">spread", ">samples")
    return tuple(
        Table(
            title=f"Sampled beside the rounds: {where}",
            columns=text_columns(*heads),
            rows=tuple(map(samples_row, facts)),
        )
        for where, facts in groups.items()
    )


def samples_row(fact: Record) -> tuple[str, ...]:
    """One quantity; seconds are shown as milliseconds."""
    text, unit = (milliseconds, "ms") if fact.unit == "s" else (digits, fact.unit)
    seen = summarize(fact.samples)
    quartiles = f"{text(seen.q1)} .. {text(seen.q3)}"
    spread = percent(seen.spread) if seen.median else NONE
    return head(fact.quantity), text(seen.median), quartiles, unit, spread, str(seen.count)


def value_text(fact: Record) -> str:
    """Write a value in its unit, briefly."""
    assert fact.value is not None
    if fact.unit == "bytes":
        return size(fact.value)
    return f"{fact.value:.1f}" if fact.unit == "%" else scaled(fact.value)


def head(quantity: str) -> str:
    """Write a quantity's name as other tables do."""
    return HEADS.get(quantity, quantity.replace("_", " "))
