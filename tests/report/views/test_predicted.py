"""Predicted ranks beside measured ones."""

from dataclasses import replace

from saevit.comparing.comparison import Candidate, Comparison
from saevit.explore.calibration import Calibration, HeldOut
from saevit.explore.exploration import Exploration
from saevit.explore.latency_model import LatencyModel
from saevit.measure.environment import environment
from saevit.report.views.predicted import compare_predicted, describe_ranking, rank_predicted, view_predicted
from saevit.runs.record import Conditions
from saevit.runs.run import Run, Subject
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
    table = rank_predicted(seen, measured(seen, 8), seen.front)
    rows = sorted(seen.front[:8], key=lambda row: -row.macs)
    assert [row[0] for row in table.rows] == [row.model for row in rows]
    assert [row[1] for row in table.rows] == [str(i) for i in range(1, 9)]
    assert [row[2] for row in table.rows] == [str(i) for i in range(8, 0, -1)]
    assert "rank correlation with time over 8 variants: GMACs -1.00, " in table.title


def test_few_variants_have_no_rank_correlation() -> None:
    assert "correlation" not in rank_predicted(found(), measured(found(), 7), found().front).title


def test_one_sentence_says_how_well_the_cost_ranks() -> None:
    seen = found()
    timed = measured(seen, 8)
    best, control = seen.front[:5], seen.front[5:8]
    text = describe_ranking(seen, timed, best, control)
    assert text == (
        "MACs and measured time of 8 variants (5 best, 3 random at equal MACs): rank correlation -1.00 "
        "[-1.00, -1.00]."
    )
    assert view_predicted(seen, timed, best, control).result.startswith(text)
    assert describe_ranking(seen, timed, best, ()) == (
        "MACs and measured time of 5 variants (5 best): too few for a rank correlation (at least 8)."
    )


def test_predicted_latency_is_beside_the_measured_one() -> None:
    model = LatencyModel((), (0.0, 1.0, 0.0))
    subject = timed("a", 1.0).subject
    assert subject is not None
    run = Run(
        subjects=(subject,), environment=environment(), started="2026-11-27T10:00:00Z", seed=0, min_time=0.1
    )
    held_out = tuple(HeldOut(model="a", macs=1, measured=1.0, predicted=1.0 + e / 100) for e in range(8))
    calibration = Calibration(run=run, conditions=subject.conditions, model=model, held_out=held_out)
    seen = replace(found(), calibration=calibration)
    rows = tuple(replace(row, latency=0.001 * (i + 1)) for i, row in enumerate(seen.front[:8]))
    slower = [timed(row.model, 0.0011 * (i + 1)) for i, row in enumerate(rows)]
    compared = Comparison(
        candidates=tuple(slower), reference=rows[0].model, img_size=(224, 224), dtype="fp32", run=None
    )
    assert describe_ranking(seen, compared, rows[:6], rows[6:]) == (
        "Predicted latency and measured time of 8 variants (6 best, 2 random at equal predicted latency): "
        "rank correlation +1.00 [1.00, 1.00], median error 9.4 %."
    )
    (table,) = compare_predicted(seen, compared, rows)
    assert [row[0] for row in table.rows] == [row.model for row in rows]
    assert {row[3] for row in table.rows} == {"-9.4"}
