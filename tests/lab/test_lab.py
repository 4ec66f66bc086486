"""One run: the network, the training, the figures, the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from evenface import recipes
from evenface.cli import main
from evenface.errors import UserError
from evenface.evaluation.metrics import eer, tar_at_far
from evenface.evaluation.people import all_pairs, rank1
from evenface.lab.config import FitConfig, LabConfig, NetworkConfig, SetsConfig
from evenface.lab.measure import measure
from evenface.lab.network import Projection
from evenface.lab.sets import Faces
from evenface.lab.trainer import fit
from evenface.training.config import Named


def blobs(seed: int, people: int = 6, each: int = 8, size: int = 12) -> Faces:
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(people).repeat_interleave(each)
    return Faces(
        2 * torch.randn(people, size, generator=g)[labels] + torch.randn(len(labels), size, generator=g),
        labels,
    )


def settings(loss: str = "eqm", **train: object) -> LabConfig:
    return LabConfig(
        lab=SetsConfig(),
        network=NetworkConfig(components=12, hidden=32, embedding_size=8),
        loss=Named(loss),
        train=FitConfig(**{"epochs": 30, "batch_size": 16, **train}),
    )


def test_projection_against_the_singular_values():
    x = torch.randn(40, 10, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 11)
    found = Projection(x, 4)(x).double()
    u, s, _ = np.linalg.svd((x - x.mean(0)).double().numpy(), full_matrices=False)
    largest = (u[:, :4] * s[:4])[:, ::-1]  # rising
    largest /= np.sqrt((s[:4] ** 2 / 40).mean())
    np.testing.assert_allclose(found.abs().numpy(), np.abs(largest), atol=1e-4)
    assert float(found.square().mean()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match=r"network\.components: 11 are more than these features have, 10"):
        Projection(x, 11)


def test_training_learns_and_repeats_itself():
    faces = blobs(0)
    net, head = fit(settings(), faces)
    with torch.no_grad():
        found = (net(faces.features) @ head.directions().T).argmax(1)
    assert (found == faces.labels).float().mean() > 0.95
    again, _ = fit(settings(), faces)
    other, _ = fit(settings(seed=1), faces)
    assert torch.equal(net[1].weight, again[1].weight)
    assert not torch.equal(net[1].weight, other[1].weight)


def test_figures_against_the_metrics_of_all_pairs():
    train, test = blobs(1), blobs(2, people=9)
    net, head = fit(settings("cosface"), train)
    figures = measure(net, head, train, test)
    with torch.no_grad():
        embeddings = net(test.features).numpy()
    scores, same = all_pairs(embeddings, test.labels.numpy())
    assert figures["tar@far=1e-2"] == pytest.approx(tar_at_far(scores, same, 1e-2).tar, abs=2e-3)
    assert figures["eer"] == pytest.approx(eer(scores, same), abs=2e-3)
    assert figures["rank1"] == rank1(embeddings, test.labels.numpy())


def test_geometry_against_loops():
    train = blobs(3, people=4, each=3)
    uneven = Faces(train.features[:-1], train.labels[:-1])  # the last has 2 images
    config = settings(batch_size=4)
    net, head = fit(config, uneven)
    figures = measure(net, head, uneven, train)
    w = head.directions().detach().double().numpy()
    with torch.no_grad():
        f = net(uneven.features).double().numpy()
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(f @ w.T))
    y = uneven.labels.numpy()
    near, scope = [], []
    for k in range(4):
        near.append(min(np.degrees(np.arccos(w[k] @ w[j])) for j in range(4) if j != k))
        scope.append(np.mean([angle[i, k] for i in range(len(y)) if y[i] == k]))
    margins = np.array(near) / 2 - scope
    assert figures["centres.cv"] == pytest.approx(np.std(near) / np.mean(near), rel=1e-3)
    assert figures["scopes.cv"] == pytest.approx(np.std(scope) / np.mean(scope), rel=1e-3)
    assert figures["scopes.mean"] == pytest.approx(np.mean(scope), rel=1e-4)
    assert figures["margins.mean"] == pytest.approx(margins.mean(), rel=1e-4)
    assert figures["margins.sd"] == pytest.approx(np.std(margins), rel=1e-3)
    assert figures["margins.tail"] == pytest.approx(margins[3], rel=1e-4)
    assert figures["margins.head"] == pytest.approx(margins[0], rel=1e-4)


def test_a_loss_without_centres_is_measured_by_its_means():
    figures = measure(*fit(settings("triplet"), blobs(4)), blobs(4), blobs(5))
    assert figures["centres.cv"] == figures["means.cv"]


def test_a_loss_that_diverges_says_so():
    faces = blobs(0)
    faces.features[:] *= float("nan")
    with pytest.raises(ValueError, match="NaN"):
        fit(settings(), faces)


RECIPES = recipes.FOLDER / "lab"


def words(sets: dict[str, Path]) -> list[str]:
    flags = {"cfp": sets["cfp"], "lfw": sets["lfw"], "faces": sets["faces"], "images": 18}
    small = [w for name, value in flags.items() for w in (f"--lab.{name}", str(value))]
    return [
        *small,
        "--lab.people",
        "5",
        "--lab.imbalance",
        "1.2",
        "--network.components",
        "8",
        "--train.batch-size",
        "8",
    ]


@pytest.mark.parametrize("recipe", ["cfp-to-lfw", "imbalance"])
def test_a_recipe_runs_and_its_own_record_repeats_it(recipe, sets, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "run"
    assert main(["lab", str(RECIPES / f"{recipe}.toml"), *words(sets), "-o", str(out)]) == 0
    assert "training on 18 images of 5 people" in capsys.readouterr().out
    figures = json.loads((out / "figures.json").read_text())
    assert 0 <= figures["eer"] <= 1 and figures["scopes.mean"] > 0
    assert (tmp_path / "cache/evenface").is_dir()
    assert main(["lab", str(out / "config.toml"), "-o", str(tmp_path / "again")]) == 0
    assert json.loads((tmp_path / "again/figures.json").read_text()) == figures


def test_mistakes_are_answered_in_words(sets, tmp_path, capsys):
    recipe = str(RECIPES / "cfp-to-lfw.toml")
    assert main(["lab", recipe]) == 2
    assert "name the folder" in capsys.readouterr().err
    assert main(["lab", recipe, "-o", str(tmp_path / "x")]) == 2
    assert "give --lab.cfp DIR" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    (tmp_path / "x").mkdir()
    (tmp_path / "x/figures.json").write_text("{}")
    assert main(["lab", recipe, *words(sets), "-o", str(tmp_path / "x")]) == 2
    assert "already has a run" in capsys.readouterr().err
