"""What is minimised: smoothed and mixed labels, and a teacher's."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from saevit.checkpoint import About, save_checkpoint
from saevit.errors import OptionError
from saevit.models import build_network, read_about
from saevit.train.batches import use_seed
from saevit.train.objective import Teacher, distil, load_teacher, make_objective
from saevit.train.recipe import Recipe
from tests.train.tiny import MODEL

PLAIN = Recipe(mixup=0, cutmix=0)
LABELS = torch.tensor([0, 2, 1, 2, 0])


def test_smoothed_labels_as_timm_has_them() -> None:
    logits = torch.randn(5, 3)
    found = make_objective(PLAIN, 3, None).sum_loss(logits, LABELS, logits)
    torch.testing.assert_close(found / 5, LabelSmoothingCrossEntropy(0.1)(logits, LABELS))


@pytest.mark.parametrize("count", [4, 5])
def test_mixed_labels_sum_to_one_for_odd_batches_too(count: int) -> None:
    objective = make_objective(Recipe(), 3, None)
    x, labels = torch.rand(count, 3, 8, 8), LABELS[:count]
    kept = x.clone()
    with use_seed(7):
        mixed, target = objective.mix(x, labels)
    assert torch.equal(x, kept)
    assert mixed.shape == x.shape
    torch.testing.assert_close(target.sum(1), torch.ones(count))
    assert not torch.equal(mixed[:4], x[:4])
    if count % 2:
        assert torch.equal(mixed[-1], x[-1])
        assert target[-1].argmax() == labels[-1]
    logits = torch.randn(count, 3)
    soft = objective.sum_loss(logits, target, mixed)
    torch.testing.assert_close(soft / count, SoftTargetCrossEntropy()(logits, target))


def test_distillation_is_the_divergence_by_its_definition() -> None:
    student, teacher, t = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64), 3.0
    p, q = F.softmax(teacher / t, 1), F.softmax(student / t, 1)
    expected = (
        t * t * sum(float(p[i, j]) * math.log(float(p[i, j] / q[i, j])) for i in range(4) for j in range(6))
    )
    assert float(distil(student, teacher, t)) == pytest.approx(expected)
    assert float(distil(student, student, t)) == pytest.approx(0, abs=1e-12)


def test_the_teachers_share_is_the_recipes() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    teacher = Teacher(model=net, scale=torch.ones(1), shift=torch.zeros(1))
    x, logits = torch.rand(5, 3, 2, 2), torch.randn(5, 3)
    recipe = Recipe(mixup=0, cutmix=0, teacher_weight=0.25, teacher_temperature=2)
    alone = make_objective(PLAIN, 3, None).sum_loss(logits, LABELS, x)
    taught = distil(logits, net(x), 2)
    found = make_objective(recipe, 3, teacher).sum_loss(logits, LABELS, x)
    torch.testing.assert_close(found, 0.75 * alone + 0.25 * taught)


def test_a_teacher_sees_images_in_its_own_normalisation(tmp_path: Path) -> None:
    net = build_network(MODEL, (32, 32), num_classes=3, seed=5)
    about = read_about(net, MODEL, (32, 32))
    other = About(**(vars(about) | {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.5, 1.0)}))
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(net.state_dict(), other, path)
    teacher = load_teacher(MODEL, path, about, torch.device("cpu"))
    image = torch.rand(2, 3, 32, 32)

    def normalised(a: About) -> torch.Tensor:
        return (image - torch.tensor(a.mean).view(3, 1, 1)) / torch.tensor(a.std).view(3, 1, 1)

    with torch.no_grad():
        torch.testing.assert_close(teacher.logits(normalised(about)), net(normalised(other)))


def test_a_teacher_of_other_classes_is_refused(tmp_path: Path) -> None:
    net = build_network(MODEL, (32, 32), num_classes=3)
    about = read_about(net, MODEL, (32, 32))
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(net.state_dict(), About(**(vars(about) | {"class_names": ("a", "b", "c")})), path)
    with pytest.raises(OptionError, match="has the classes a, b, c"):
        load_teacher(
            MODEL, path, About(**(vars(about) | {"class_names": ("x", "y", "z")})), torch.device("cpu")
        )
    with pytest.raises(OptionError, match=r"--teacher-checkpoint .* is of another network"):
        load_teacher(MODEL, path, About(**(vars(about) | {"num_classes": 4})), torch.device("cpu"))
