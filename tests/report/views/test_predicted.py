"""Predicted ranks beside measured ones."""

from saevit.comparing.comparison import Candidate, Comparison
from saevit.explore.exploration import Exploration
from saevit.report.views.predicted import rank_predicted
from saevit.runs.record import Conditions
from saevit.runs.run import Subject
from tests.report.views.test_explore import found


def timed(model: str, seconds: float) -> Candidate:
    """A candidate with a time."""
    conditions = Conditions(
        img_size=(224, 224),
        batch_size=1,
        dtype="fp32",
        device="cpu",
        runtime="eager",
        threads=1,
        memory_format="contiguous",
        folded=True,
    )
    samples = tuple(seconds * (1 + i / 1000) for i in range(8))
    return Candidate(
        model=model, subject=Subject(conditions=conditions, label=model, name=model, samples=samples)
    )


def measured(seen: Exploration, count: int) -> Comparison:
    """Times of some variants of the front: the more MACs, the faster, as wrong as can be."""
    rows = sorted(seen.front[:count], key=lambda row: row.macs)
    candidates = tuple(timed(row.model, 0.001 * (count - i)) for i, row in enumerate(rows))
    return Comparison(
        candidates=candidates, reference=rows[0].model, img_size=(224, 224), dtype="fp32", run=None
    )


def test_predicted_ranks_are_beside_measured_ones() -> None:
    seen = found()
    table = rank_predicted(seen, measured(seen, 8))
    rows = sorted(seen.front[:8], key=lambda row: -row.macs)
    assert [row[0] for row in table.rows] == [row.model for row in rows]
    assert [row[1] for row in table.rows] == [str(i) for i in range(1, 9)]
    assert [row[2] for row in table.rows] == [str(i) for i in range(8, 0, -1)]
    assert "rank correlation with time over 8 variants: GMACs -1.00, " in table.title


def test_few_variants_have_no_rank_correlation() -> None:
    assert "correlation" not in rank_predicted(found(), measured(found(), 7)).title
