import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from evenface.data import AugmentConfig, Batch, BatchPlan, FaceDataset, loader, normalise, read_folder
from evenface.data import dataset as module
from evenface.errors import UserError
from evenface.faces import InputFormat, UnreadableImage, read_image
from evenface.faces.format import Colour, Pixels

MakeFaces = Callable[[dict[str, int]], Path]
FORMAT = InputFormat(20, 16, "rgb")
AUGMENT = AugmentConfig(rotate=20, shift=0.1, brightness=0.3, gray=0.3, erase=0.5)
WORKERS = pytest.mark.parametrize("workers", [0, 2])
MEMORY = pytest.mark.parametrize("in_memory", [False, True])


@pytest.fixture
def root(make_faces: MakeFaces) -> Path:
    return make_faces({"ann": 4, "bob": 5, "cat": 3})


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.images, b.images)
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.indices, b.indices)
        for a, b in zip(one, other, strict=True)
    )


@MEMORY
@pytest.mark.parametrize("colour", ["rgb", "bgr", "gray"])
def test_a_sample_is_the_fitted_picture(root: Path, colour: Colour, in_memory: bool) -> None:
    faces, form = read_folder(root), InputFormat(20, 16, colour)
    dataset = FaceDataset(faces, form, in_memory=in_memory)
    assert len(dataset) == 12
    for i in (0, 7, 11):
        image, label, index = dataset[i, 0]
        expected = form.fit(read_image(faces.paths[i])).transpose(2, 0, 1)
        assert image.dtype == torch.uint8
        assert np.array_equal(image.numpy(), expected)
        assert (label, index) == (faces.labels[i], i)


def test_the_augmentation_depends_on_seed_and_draw_alone(root: Path) -> None:
    faces = read_folder(root)
    dataset = FaceDataset(faces, FORMAT, AUGMENT, seed=1)
    again = FaceDataset(faces, FORMAT, AUGMENT, seed=1, in_memory=True)
    other = FaceDataset(faces, FORMAT, AUGMENT, seed=2)
    first = dataset[3, 9][0]
    assert torch.equal(again[3, 9][0], first)
    assert torch.equal(dataset[3, 9][0], first)
    assert not torch.equal(dataset[3, 10][0], first)
    assert not torch.equal(other[3, 9][0], first)


def test_what_is_kept_in_memory_is_never_written_to(root: Path) -> None:
    dataset = FaceDataset(read_folder(root), InputFormat(20, 16, "gray"), in_memory=True)
    before = dataset.image(0).copy()
    dataset[0, 0][0].zero_()
    dataset.augment = AugmentConfig(flip=0, erase=1)
    assert (dataset[0, 0][0].numpy() != before.transpose(2, 0, 1)).any()
    assert np.array_equal(dataset.image(0), before)


def test_the_same_batches_for_any_number_of_workers(root: Path) -> None:
    faces = read_folder(root)
    plan = BatchPlan(faces.labels, 4, "balanced", seed=5)

    def batches(workers: int, start: int = 0, in_memory: bool = False) -> list[Batch]:
        dataset = FaceDataset(faces, FORMAT, AUGMENT, seed=5, in_memory=in_memory)
        return list(loader(dataset, plan, start, 9, workers=workers))

    whole = batches(0)
    assert len(whole) == 9
    for batch, step in zip(whole, range(9), strict=True):
        assert batch.images.shape == (4, 3, 20, 16)
        assert batch.images.is_contiguous()
        assert batch.indices.tolist() == [index for index, _ in plan.batch(step)]
        assert batch.labels.tolist() == faces.labels[batch.indices].tolist()
    assert same(batches(1), whole)
    assert same(batches(2, in_memory=True), whole)
    assert same(batches(2, start=4), whole[4:])
    assert same(batches(0, start=4), whole[4:])


@WORKERS
def test_the_global_random_state_is_left_alone(root: Path, workers: int) -> None:
    faces = read_folder(root)
    before = torch.get_rng_state()
    list(loader(FaceDataset(faces, FORMAT, AUGMENT), BatchPlan(faces.labels, 4), 0, 2, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


@WORKERS
@MEMORY
def test_corrupt_skip_leaves_the_image_out_and_names_it(root: Path, workers: int, in_memory: bool) -> None:
    bad = root / "bob" / "2.png"
    bad.write_text("not a picture")
    faces = read_folder(root)
    dataset = FaceDataset(faces, FORMAT, corrupt="skip", in_memory=in_memory)
    batches = list(loader(dataset, BatchPlan(faces.labels, 6), 0, 2, workers=workers))
    assert sum(len(batch) for batch in batches) == 11
    assert faces.paths.index(bad) not in torch.cat([batch.indices for batch in batches])
    skipped = [error for batch in batches for error in batch.skipped]
    assert [error.place for error in skipped] == [str(bad)]
    assert str(skipped[0]) == f"{bad}: not a picture in JPEG, PNG, BMP, WebP, GIF, PNM or TIFF"
    for batch in batches:
        assert len(batch.images) == len(batch.labels) == len(batch.indices) == 6 - len(batch.skipped)
        expected = [dataset.image(int(i)).transpose(2, 0, 1) for i in batch.indices]
        assert np.array_equal(batch.images.numpy(), expected)


@WORKERS
def test_corrupt_stop_raises_the_file_s_own_error(root: Path, workers: int) -> None:
    bad = root / "bob" / "2.png"
    bad.write_bytes(b"")
    faces = read_folder(root)
    dataset = FaceDataset(faces, FORMAT)
    with pytest.raises(UnreadableImage) as caught:
        list(loader(dataset, BatchPlan(faces.labels, 6), 0, 2, workers=workers))
    assert str(caught.value).startswith(f"{bad}: empty file; mend it or delete it")
    assert "set data.corrupt to skip" in str(caught.value)
    assert caught.value.place == str(bad)
    with pytest.raises(UnreadableImage, match=r"bob/2\.png: empty file"):
        dataset[faces.paths.index(bad), 0]


def test_corrupt_stop_in_memory_stops_at_the_start(root: Path) -> None:
    (root / "bob" / "2.png").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"bob/2\.png: empty file; mend it or delete it"):
        FaceDataset(read_folder(root), FORMAT, in_memory=True)


@WORKERS
def test_a_batch_of_corrupt_images_only_is_an_error(root: Path, workers: int) -> None:
    faces = read_folder(root)
    for path in faces.paths:
        path.write_bytes(b"")
    dataset = FaceDataset(faces, FORMAT, corrupt="skip")
    with pytest.raises(
        UserError, match=r"^data\.corrupt: none of the 6 images .* first is .*\.png: empty file"
    ):
        list(loader(dataset, BatchPlan(faces.labels, 6), 0, 2, workers=workers))


def test_the_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage(Path("a/b.jpg"), "why")))
    assert (type(error), str(error), error.place) == (UnreadableImage, "a/b.jpg: why", "a/b.jpg")


def test_too_many_images_for_the_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 12 * 20 * 16 * 3
    monkeypatch.setattr(module, "_memory_size", lambda: 2 * size)
    FaceDataset(read_folder(root), FORMAT, in_memory=True)
    monkeypatch.setattr(module, "_memory_size", lambda: 2 * size - 2)
    with pytest.raises(UserError, match=r"^data\.in_memory: 12 images of 20x16 rgb.* GiB, more than half of"):
        FaceDataset(read_folder(root), FORMAT, in_memory=True)


@pytest.mark.parametrize("pixels", ["127.5", "128"])
@pytest.mark.parametrize("colour", ["rgb", "gray"])
def test_normalise_is_the_format_s_own(colour: Colour, pixels: Pixels) -> None:
    form = InputFormat(16, 16, colour, pixels)
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(form.channels, axis=3)
    mine = normalise(torch.from_numpy(images.transpose(0, 3, 1, 2)), form)
    assert mine.dtype == torch.float32
    assert np.array_equal(mine.numpy(), form.normalise(images))


def test_real_faces_go_through(data_root: Path) -> None:
    faces = read_folder(data_root / "celeb" / "images")
    dataset = FaceDataset(faces, InputFormat(64, 64, "gray"), AugmentConfig(), seed=1)
    (batch,) = loader(dataset, BatchPlan(faces.labels, 64, "pk"), 0, 1, workers=0)
    assert batch.images.shape == (64, 1, 64, 64)
    assert 60 < batch.images.float().mean() < 180
    image = read_image(faces.paths[int(batch.indices[0])])
    plain = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).mean()
    assert abs(batch.images[0].float().mean() - plain) < 15
