"""Embedding: order, flips, batches, memory, errors; and modules that come back as they were."""

import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from evenface.errors import UserError
from evenface.evaluation.embed import FunctionEmbedder, embed
from evenface.evaluation.torch_embedder import TorchEmbedder
from evenface.faces import InputFormat
from machine import wait_for

RGB = InputFormat(height=16, width=16)


def pictures(count, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))


def flat(images):
    return images.reshape(len(images), -1)


def halves(images):
    """Mean of the left and of the right half: tells a picture from its mirror image."""
    return np.stack([images[..., :8].mean(axis=(1, 2, 3)), images[..., 8:].mean(axis=(1, 2, 3))], axis=1)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_rows_come_in_order_for_any_batch_and_any_number_of_threads(batch_size, workers):
    images = pictures(7)
    rows = embed(FunctionEmbedder(flat, RGB), images, batch_size=batch_size, workers=workers)
    expected = [((image.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1).ravel() for image in images]
    assert rows.dtype == np.float32
    assert_allclose(rows, expected, rtol=1e-6)


def test_flips_add_or_append_the_raw_embedding_of_the_mirror_image():
    images = pictures(5)
    embedder = FunctionEmbedder(halves, RGB)
    upright = embed(embedder, images)
    mirrored = embed(embedder, [image[:, ::-1] for image in images])
    assert_allclose(mirrored, upright[:, ::-1], rtol=1e-5)
    assert_allclose(embed(embedder, images, "sum"), upright + mirrored, rtol=1e-5)
    assert_allclose(embed(embedder, images, "concat"), np.hstack([upright, mirrored]), rtol=1e-5)


def test_progress_counts_images():
    seen = []
    embed(FunctionEmbedder(flat, RGB), pictures(7), batch_size=3, progress=lambda *at: seen.append(at))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_reading_runs_ahead_by_one_batch_and_no_further():
    read, most_ahead, lock = set(), [], threading.Lock()

    class Watched:
        def __len__(self):
            return 40

        def __getitem__(self, index):
            with lock:
                read.add(index)
            return np.full((16, 16, 3), 200, np.uint8)

    done = 0

    def slow(images):
        nonlocal done
        expected = min(done + 2 * len(images), 40)
        wait_for(lambda: len(read) >= expected)
        threading.Event().wait(0.01)  # in which more than that could be read
        done += len(images)
        most_ahead.append(len(read) - done)
        return flat(images)

    embed(FunctionEmbedder(slow, RGB), Watched(), batch_size=4)
    assert most_ahead == [4] * 9 + [0]


@pytest.mark.parametrize(
    ("value", "says"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "all zero")]
)
def test_a_useless_embedding_names_its_image(value, says):
    images = pictures(6)
    images[4][:] = 255  # the marked one

    def broken(batch):
        return np.where((batch == 1).all(axis=(1, 2, 3))[:, None], value, 1.0) * np.ones((1, 8))

    with pytest.raises(UserError, match=f"image 4: .*function is {says}"):
        embed(FunctionEmbedder(broken, RGB), images, batch_size=2)
    with pytest.raises(UserError, match=f"e: .*function is {says}"):
        embed(FunctionEmbedder(broken, RGB), images, batch_size=2, names="abcdef")


@pytest.mark.parametrize("wrong", [lambda x: x, lambda x: flat(x)[:-1], lambda x: flat(x)[0]])
def test_a_result_that_is_not_rows_is_refused(wrong):
    with pytest.raises(UserError, match=r"expected .3, D."):
        embed(FunctionEmbedder(wrong, RGB), pictures(3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: [None, {}, []],
        lambda x: {"rows": flat(x)},
        lambda x: [[1.0], [1.0, 2.0], [3.0]],
        lambda x: np.full((3, 2), "x"),
        lambda x: torch.ones(3, 2, requires_grad=True),
    ],
)
def test_a_result_that_is_no_numbers_is_refused(wrong):
    with pytest.raises(UserError, match=r"^function: gave no numbers but \w+ .*expected .* \(3, D\)$"):
        embed(FunctionEmbedder(wrong, RGB), pictures(3))


def test_embeddings_of_several_lengths_are_refused():
    def by_count(images):
        return np.ones((len(images), len(images) + 1))

    with pytest.raises(UserError, match=r"^function: gave shape \(1, 2\) after rows of 4 values"):
        embed(FunctionEmbedder(by_count, RGB), pictures(4), batch_size=3)

    calls = iter([2, 3])
    with pytest.raises(UserError, match=r"shape \(1, 2\) for pictures and \(1, 3\) for their mirror images"):
        embed(FunctionEmbedder(lambda x: np.ones((1, next(calls))), RGB), pictures(1), "sum")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"flip": "up"}, "^flip: 'up'"),
        ({"batch_size": 0}, "^--batch-size: 0 is too small; use 1 or more$"),
        ({"workers": 0}, "^--workers: 0 is too small; use 1 or more$"),
    ],
)
def test_options_are_checked(options, says):
    with pytest.raises(UserError, match=says):
        embed(FunctionEmbedder(flat, RGB), pictures(1), **options)


def test_no_images_are_refused():
    with pytest.raises(UserError, match="no images"):
        embed(FunctionEmbedder(flat, RGB), [])


def test_an_error_while_reading_is_passed_on():
    class Broken(list):
        def __getitem__(self, index):
            raise UserError(f"picture {index}: broken")

    with pytest.raises(UserError, match="picture 0: broken"):
        embed(FunctionEmbedder(flat, RGB), Broken([1, 2]))


def test_torch_module_runs_in_eval_mode_and_comes_back_part_by_part():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(8)
    )
    module(torch.zeros(2, 3, 16, 16))
    module.train()
    module[1].eval()  # frozen
    before = {name: value.clone() for name, value in module.state_dict().items()}
    images = pictures(5)
    embedder = TorchEmbedder(module, RGB)
    rows = embed(embedder, images)
    assert [part.training for part in module.modules()] == [True, True, False, True, True, True]
    assert all((before[name] == value).all() for name, value in module.state_dict().items())
    assert embedder.name == "Sequential"
    module.eval()
    with torch.no_grad():
        expected = module(torch.from_numpy(RGB.normalise(np.stack(images)))).numpy()
    assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)


def test_torch_module_comes_back_in_training_after_an_error():
    module = nn.Linear(3, 3).train()
    with pytest.raises(RuntimeError):
        TorchEmbedder(module, RGB)(np.zeros((1, 3, 16, 16), np.float32))
    assert module.training
