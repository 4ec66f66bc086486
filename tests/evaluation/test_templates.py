"""Pooling against loops over templates, media and faces in float64."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenface.errors import UserError
from evenface.evaluation import templates as module
from evenface.evaluation.templates import POOLING, Templates, means, unit_rows


def slow_pool(
    embeddings: np.ndarray, faces: list[tuple[int, int, int]], pooling: str, detector: np.ndarray | None
) -> dict[int, np.ndarray]:
    """Template id -> unit vector, of faces (picture, template id, medium)."""
    found = {}
    for template in {one for _, one, _ in faces}:
        total = np.zeros(embeddings.shape[1])
        for medium in {m for _, one, m in faces if one == template}:
            frames = []
            for picture, one, m in faces:
                if (one, m) == (template, medium):
                    vector = embeddings[picture].astype(np.float64)
                    if "norm" not in pooling:
                        vector = vector / np.linalg.norm(vector)
                    if "detector" in pooling:
                        vector = vector * detector[picture]
                    frames.append(vector)
            total += sum(frames) / len(frames)
        found[template] = total / np.linalg.norm(total)
    return found


def of_faces(faces: list[tuple[int, int, int]]) -> Templates:
    picture, template, medium = np.array(faces).T
    ids, place = np.unique(template, return_inverse=True)
    return Templates(ids, picture, place, medium)


def random_faces(rng: np.random.Generator, pictures: int) -> list[tuple[int, int, int]]:
    """Every picture in one or two templates; media of 1 to 4 faces that several templates share."""
    faces = []
    for picture in rng.permutation(pictures).tolist():
        for template in set(rng.choice([3, 5, 1000, 77, 9], rng.integers(1, 3)).tolist()):
            faces.append((picture, template, int(rng.integers(100, 104))))
    return faces


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(sorted(POOLING)), st.integers(1, 7))
def test_pool_is_mean_in_a_medium_then_sum_then_length_1(seed, pooling, block):
    rng = np.random.default_rng(seed)
    faces = random_faces(rng, int(rng.integers(1, 30)))
    # Lengths from 1e-3 to 1e3, so that weighting by them shows.
    embeddings = (rng.normal(size=(30, 4)) * 10 ** rng.uniform(-3, 3, (30, 1))).astype(np.float32)
    detector = rng.uniform(0.1, 1, 30)
    found = of_faces(faces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        pooled = found.pool(embeddings, pooling, detector=detector)
    assert pooled.dtype == np.float32
    expected = slow_pool(embeddings, faces, pooling, detector)
    assert found.ids.tolist() == sorted(expected)
    for place, one in enumerate(found.ids.tolist()):
        np.testing.assert_allclose(pooled[place], expected[one], atol=2e-6)


def test_a_medium_counts_once_however_many_frames_it_has():
    still, video = [1.0, 0.0], [0.0, 1.0]
    embeddings = np.array([still] + [video] * 9, dtype=np.float32)
    one_medium = of_faces([(i, 1, min(i, 1)) for i in range(10)]).pool(embeddings)
    np.testing.assert_allclose(one_medium, [[0.5**0.5, 0.5**0.5]], atol=1e-6)
    own_media = of_faces([(i, 1, i) for i in range(10)]).pool(embeddings)  # media not pooled first
    np.testing.assert_allclose(own_media, [[1 / 82**0.5, 9 / 82**0.5]], atol=1e-6)


def test_a_medium_in_two_templates_is_two_media():
    embeddings = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
    # Template 1 has one frame of video 7, template 2 has two: each divides by its own number.
    pooled = of_faces([(0, 1, 6), (1, 1, 7), (0, 2, 6), (1, 2, 7), (2, 2, 7)]).pool(embeddings)
    np.testing.assert_allclose(pooled, [[0.5**0.5] * 2] * 2, atol=1e-6)


def test_weights_change_the_answer():
    embeddings = np.array([[10, 0], [0, 1]], dtype=np.float32)
    faces = of_faces([(0, 1, 1), (1, 1, 2)])
    detector = np.array([0.2, 0.8])
    for pooling, (x, y) in {
        "plain": (1, 1),
        "norm": (10, 1),
        "detector": (0.2, 0.8),
        "norm+detector": (2, 0.8),
    }.items():
        expected = np.array([x, y]) / np.hypot(x, y)
        np.testing.assert_allclose(faces.pool(embeddings, pooling, detector=detector)[0], expected, atol=1e-6)


def test_memory_mapped_rows_pool_alike_and_unused_ones_are_not_read(tmp_path):
    rng = np.random.default_rng(1)
    embeddings = rng.normal(size=(50, 8)).astype(np.float32)
    embeddings[49] = np.nan
    np.save(tmp_path / "e.npy", embeddings)
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    faces = of_faces([(i, i % 4, i % 6) for i in range(49)])
    assert (faces.pool(mapped) == faces.pool(embeddings)).all()


def test_huge_and_tiny_embeddings_keep_their_direction():
    embeddings = np.array([[3e30, 4e30], [3e-30, 4e-30]], dtype=np.float32)
    for pooling in ("plain", "norm"):
        pooled = of_faces([(0, 1, 1), (1, 2, 1)]).pool(embeddings, pooling)
        np.testing.assert_allclose(pooled, [[0.6, 0.8]] * 2, rtol=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_an_unusable_embedding_is_named(bad):
    embeddings = np.ones((3, 2), dtype=np.float32)
    embeddings[2] = bad
    with pytest.raises(UserError, match=r"embeddings: c.jpg is all zero or not finite"):
        of_faces([(0, 1, 1), (2, 1, 2)]).pool(embeddings, names=["a.jpg", "b.jpg", "c.jpg"])
    with pytest.raises(UserError, match=r"embeddings: row 2 is"):
        unit_rows(embeddings)


def test_a_template_without_direction_is_named():
    opposite = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    with pytest.raises(UserError, match=r"the sum of template 12 is all zero"):
        of_faces([(0, 12, 1), (1, 12, 2)]).pool(opposite)
    with pytest.raises(UserError, match=r"the sum of template 12 is all zero"):
        of_faces([(0, 12, 1)]).pool(opposite, "detector", detector=np.zeros(2))


def test_wrong_pooling_is_refused():
    faces = of_faces([(0, 1, 1)])
    with pytest.raises(UserError, match=r"pooling: 'norms' is not known; did you mean 'norm'"):
        faces.pool(np.ones((1, 2), np.float32), "norms")
    with pytest.raises(UserError, match=r"pooling 'detector': these faces have no detector scores"):
        faces.pool(np.ones((1, 2), np.float32), "detector")


def test_first_images_are_those_listed_first():
    faces = of_faces([(5, 2, 1), (3, 1, 1), (0, 2, 1), (4, 1, 2)])
    assert faces.ids.tolist() == [1, 2]
    assert faces.first_images().tolist() == [3, 5]


@pytest.mark.parametrize("block", [1, 3, 5, 100])
def test_means_are_those_of_each_group_wherever_a_block_ends(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = np.random.default_rng(2)
    rows, group = (
        rng.normal(size=(20, 3)).astype(np.float32),
        rng.permutation([0, *[1] * 11, *[2] * 5, 3, 3, 3]),
    )
    found = means(rows, group, 4)
    for one in range(4):
        np.testing.assert_allclose(found[one], rows[group == one].mean(axis=0), atol=1e-6)


def test_the_means_of_one_large_group_need_a_block_of_memory():
    rows = np.ones((200_000, 16), np.float32)
    tracemalloc.start()
    try:
        found = means(rows, np.zeros(len(rows), np.int64), 1)
        assert tracemalloc.get_traced_memory()[1] < rows.nbytes  # a float64 copy of all is twice as large
    finally:
        tracemalloc.stop()
    assert (found == 1).all()
