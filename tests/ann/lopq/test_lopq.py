"""`LOPQIndex` and its parts against float64, whole sorts and faiss's IVF-PQ: rotations, codes, merging, memory."""

import faiss
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from twotower.ann.cells import Cells
from twotower.ann.faiss_factory import FaissIndex
from twotower.ann.lopq.index import LOPQIndex
from twotower.ann.lopq.probing import best_of_cells
from twotower.ann.lopq.product_codes import UNWRITTEN
from twotower.ann.lopq.rotations import Rotations, allocated, cell_means, sampled_residuals
from twotower.ann.measuring.recall import GroundTruth
from twotower.ann.measuring.synthetic import clustered_vectors
from twotower.ann.vectors import METRICS
from twotower.errors import BadConfig
from twotower.types import NO_ITEM, Ragged, TopK

N, D = 3000, 24


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(n, dim, n_clusters, seed=0, decay=1.5):
    """Unit vectors of clusters, each stretched along axes of its own; variance falls as a power of the axis."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(n_clusters, dim)) / np.sqrt(dim)
    spread = (1 + np.arange(dim)) ** -decay
    axes = np.linalg.qr(random.normal(size=(n_clusters, dim, dim)))[0] * np.sqrt(0.6 * spread / spread.sum())
    owner = random.integers(n_clusters, size=n)
    return unit(centres[owner] + np.einsum("nij,nj->ni", axes[owner], random.normal(size=(n, dim))))


@pytest.fixture(scope="module")
def vectors():
    return clustered(N, D, 6)


@pytest.fixture(scope="module")
def queries(vectors):
    noise = np.random.default_rng(5).normal(size=(40, D)) / np.sqrt(D)
    return unit(vectors[::75] + 0.4 * noise)


@pytest.fixture(scope="module")
def cells(vectors):
    return Cells.fit(vectors, 7, "inner_product", per_cell=64, seed=0)


def fitted(vectors, cells, **options):
    means = cell_means(vectors, cells)
    residuals = sampled_residuals(vectors, cells, means, 1000, 0)
    return Rotations.fit(vectors, cells, means, residuals=residuals, **({"parts": 6, "shrinkage": 16} | options))


# Rotations


def test_variances_8_4_2_1_are_dealt_out_so_that_both_products_are_8():
    axes = allocated(np.array([[8.0, 4.0, 2.0, 1.0]]), 2)
    assert axes.tolist() == [[[0, 3], [1, 2]]]  # 8·1 = 4·2


def test_every_part_gets_as_many_axes_and_padding_comes_last():
    axes = allocated(np.sort(np.random.default_rng(0).random((5, 10)))[:, ::-1], 4)
    assert axes.shape == (5, 4, 3)
    for row in axes.reshape(5, 12):
        assert sorted(row.tolist()) == list(range(12))
    assert (axes[:, :, 0] < 4).all()  # the four largest are apart


def test_rotated_residuals_are_uncorrelated_in_their_own_cell_and_as_long_as_before(vectors, cells):
    rotations = fitted(vectors, cells, shrinkage=0)
    for cell, rows in enumerate(cells.members):
        rotated = rotations.residuals_of_cell(vectors[rows], cell)
        before = np.linalg.norm(vectors[rows] - vectors[rows].mean(axis=0), axis=1)
        np.testing.assert_allclose(np.linalg.norm(rotated, axis=1), before, rtol=0.02)
        covariance = np.cov(rotated.T, bias=True)
        off = covariance - np.diag(np.diag(covariance))
        assert np.abs(off).max() < 0.02 * covariance.max()


def test_a_rotation_is_the_product_of_whole_numbers_without_any_rounding(vectors, cells):
    rotations = fitted(vectors, cells)
    rotated = rotations.of_cell(vectors[:50], 3)
    limit = 2**23 / (127 * np.sqrt(D))
    lengths = np.sqrt((vectors[:50] ** 2).sum(axis=1, keepdims=True, dtype=np.float32))
    steps = lengths / np.float32(limit)
    sums = np.rint(vectors[:50] / steps).astype(np.int64) @ rotations.matrices[3].astype(np.int64).T
    assert np.abs(sums).max() > 2**20
    np.testing.assert_array_equal(rotated, sums.astype(np.float32) * (steps * rotations.steps[3]))


def test_pairs_are_rotated_to_the_same_bits_alone_in_a_batch_and_by_cell(vectors, cells):
    rotations = fitted(vectors, cells)
    owners = cells.owners()[:300]
    together = rotations.of_pairs(vectors[:300], owners)
    for row in (0, 17, 299):
        alone = rotations.of_pairs(vectors[row : row + 1], owners[row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])
    inside = np.flatnonzero(owners == 2)
    np.testing.assert_array_equal(rotations.of_cell(vectors[inside], 2), together[inside])


def test_a_cell_of_one_item_takes_over_the_axes_of_the_catalogue(vectors):
    alone_and_others = Ragged.from_lists([[0], range(1, N)])
    cells = Cells(np.zeros((2, D), np.float32), alone_and_others, "inner_product")
    residuals = vectors[1:] - cell_means(vectors, cells)[1]
    rotations = Rotations.fit(vectors, cells, cell_means(vectors, cells), parts=6, shrinkage=16, residuals=residuals)
    lonely, other = np.abs(rotations.matrices * rotations.steps[:, None, None])
    np.testing.assert_allclose(lonely, other, atol=1e-6)


# Merging cells


def sorted_cells(n_pairs, size, seed, spread):
    """Scores of every pair's items, falling; pairs differ in how good they are."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(n_pairs, size)) + spread * random.normal(size=(n_pairs, 1))
    return -np.sort(-scores.astype(np.float32), axis=1)


def scanner_of(scores, asked):
    items = np.arange(scores.size).reshape(scores.shape)

    def scan(pairs, k):
        asked.append((len(pairs), k))
        return TopK(items[pairs], scores[pairs]).padded(k)

    return scan


@pytest.mark.parametrize("spread", [0, 1, 30])
@pytest.mark.parametrize("k", [1, 25, 90, 400])
def test_best_of_cells_are_those_of_sorting_everything(spread, k):
    scores = sorted_cells(3 * 8, 50, 1, spread)
    common = np.random.default_rng(2).normal(size=(3, 8)).astype(np.float32)
    found = best_of_cells(scanner_of(scores, []), common, k, 50)
    whole = (scores.reshape(3, 8, 50) + common[:, :, None]).reshape(3, 400)
    order = np.argsort(-whole, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.items, order + 400 * np.arange(3)[:, None])
    np.testing.assert_array_equal(found.scores, np.take_along_axis(whole, order, 1))


def test_whole_lists_are_fetched_only_from_cells_that_may_hold_more():
    scores = sorted_cells(8, 500, 1, 0)
    scores[3] += 100
    asked = []
    best_of_cells(scanner_of(scores, asked), np.zeros((1, 8), np.float32), 80, 500)
    assert asked == [(8, 40), (1, 80)]  # 4 · 80 / 8 of each; 80 of the one whose 40th still counts


def test_what_the_cells_do_not_hold_is_padded():
    found = best_of_cells(scanner_of(sorted_cells(4, 3, 0, 1), []), np.zeros((2, 2), np.float32), 10, 3)
    assert (found.items != NO_ITEM).sum(axis=1).tolist() == [6, 6]


# The index


def decoded(index):
    """Every item as its code says: mean + Rᵀ·word, in float64. Shape [N, D]."""
    whole = np.empty((len(index), index.dim))
    cells, rotations, words = index.partition, index._rotations, index._words
    for cell, rows in enumerate(cells.members):
        start = cells.members.offsets[cell]
        codes = index._codes[start : start + len(rows)]
        if index.codebooks == "local":
            codes = np.stack([codes & 15, codes >> 4], axis=2).reshape(
                len(rows), -1
            )  # two parts a byte, low half first
            own = (words.words[cell] * words.steps[cell].astype(np.float64)).transpose(1, 2, 0)
        else:
            own = words.words
        parts = [own[part, codes[:, part]] for part in range(len(own))]
        axes = rotations.matrices[cell] * rotations.steps[cell].astype(np.float64)
        whole[rows] = rotations.means[cell] + np.concatenate(parts, axis=1) @ axes
    return whole


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("codebooks", ["local", "shared"])
@pytest.mark.parametrize("distances", [True, False])
def test_scores_are_those_of_the_decoded_vectors(vectors, queries, metric, codebooks, distances):
    distances = distances or metric == "euclidean"
    options = {"metric": metric, "codebooks": codebooks, "distances": distances}
    index = LOPQIndex(cells=5, nprobe=5, refine=0, **options).build(vectors)
    found = index.search(queries, 30)
    near = decoded(index)[found.items]
    if distances:
        squares = 2 - 2 * found.scores if metric != "euclidean" else found.scores**2
        scores, truth = squares, ((queries[:, None] - near) ** 2).sum(axis=2)
    else:
        scores, truth = found.scores, (queries[:, None] * near).sum(axis=2)
    rounding = 0.02 if codebooks == "local" else 0.01  # tables of 8 bits; axes of int8 are not quite at right angles
    assert np.abs(scores - truth).max() < rounding


def test_local_shapes_are_worth_more_than_ivf_pq_codes_of_the_same_length():
    vectors = clustered(16_000, 32, 6)
    queries = unit(vectors[::80] + 0.3 * np.random.default_rng(1).normal(size=(200, 32)) / np.sqrt(32))
    ground_truth = GroundTruth(vectors, queries, [20], "inner_product")
    plain = FaissIndex(factory="IVF{cells},PQ4x8np", cells=12, nprobe=12, k_factor=0).build(vectors)
    least = ground_truth.recall(plain)[20] + 0.1
    for codebooks in ("local", "shared"):
        index = LOPQIndex(cells=12, nprobe=12, code_bytes=4, codebooks=codebooks, refine=0).build(vectors)
        assert ground_truth.recall(index)[20] > least


def test_vectors_without_shape_lose_nothing_against_ivf_pq():
    drawn = unit(np.random.default_rng(0).normal(size=(16_200, 32)))
    vectors, queries = drawn[200:], drawn[:200]
    ground_truth = GroundTruth(vectors, queries, [20], "inner_product")
    plain = FaissIndex(factory="IVF{cells},PQ8x8np", cells=12, nprobe=12, k_factor=0).build(vectors)
    local = LOPQIndex(cells=12, nprobe=12, codebooks="local", refine=0).build(vectors)
    assert ground_truth.recall(local)[20] > ground_truth.recall(plain)[20] - 0.02


def test_refining_finds_nearly_all_and_with_exact_scores(vectors, queries):
    index = LOPQIndex(cells=7, nprobe=7, refine=300).build(vectors)
    ground_truth = GroundTruth(vectors, queries, [20], "inner_product")
    assert ground_truth.recall(index)[20] > 0.99 > 0.9 > ground_truth.recall(index.with_options(refine=0))[20]
    found = index.search(queries, 20)
    np.testing.assert_allclose(found.scores, (queries[:, None] * vectors[found.items]).sum(axis=2), atol=1e-6)


@pytest.mark.parametrize("codebooks", ["local", "shared"])
def test_same_seed_gives_the_same_bytes_with_one_and_two_threads(vectors, tmp_path, codebooks):
    files = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            faiss.omp_set_num_threads(threads)
            folder = tmp_path / str(threads)
            folder.mkdir()
            LOPQIndex(cells=7, nprobe=4, codebooks=codebooks, refine=0).build(vectors).save(folder)
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(files[0]) >= 8
    for name, content in files[0].items():
        assert files[1][name] == content, name


@pytest.mark.parametrize("codebooks", ["local", "shared"])
@pytest.mark.parametrize("metric", METRICS)
def test_no_item_is_lost_whatever_the_query(vectors, metric, codebooks):
    index = LOPQIndex(metric=metric, cells=3, nprobe=3, codebooks=codebooks, refine=0).build(vectors[:200])
    queries = np.concatenate([vectors[:20], np.zeros((1, D), np.float32), 1e-20 * vectors[:1], 1e6 * vectors[:1]])
    for row in index.search(queries, 200).items:
        assert sorted(row.tolist()) == list(range(200))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [1, 2, 60])
def test_catalogues_of_one_point_can_be_searched(metric, count):
    same = np.tile(unit(np.arange(1.0, 6.0)[None]), (count, 1))
    found = LOPQIndex(metric=metric, refine=0).build(same).search(same[:1], count)
    assert sorted(found.items[0].tolist()) == list(range(count))
    np.testing.assert_allclose(found.scores, 0 if metric == "euclidean" else 1, atol=2e-3)


def test_the_word_below_all_others_is_never_written(vectors):
    index = LOPQIndex(cells=3, refine=0).build(vectors)
    assert not (index._codes[:, 0] & 15 == UNWRITTEN).any()
    assert (index._codes[:, 0] >> 4 == UNWRITTEN).any()


def test_a_saved_index_weighs_what_its_docstring_says_and_is_mapped(vectors, queries, tmp_path):
    index = LOPQIndex(cells=3, refine=0).build(vectors)
    index.save(tmp_path)
    assert not (tmp_path / "vectors.npy").exists()
    arrays = sum(path.stat().st_size - 128 for path in tmp_path.glob("*.npy"))
    width = 32  # 16 parts of 2 axes
    said = (8 + 4) * N + 3 * (width * D + 16 * width + 8 * D + 8) + 4 * 8
    assert arrays == said
    loaded = LOPQIndex.load(tmp_path)
    assert isinstance(loaded._rotations.matrices, np.memmap)
    np.testing.assert_array_equal(loaded.search(queries, 9).scores, index.search(queries, 9).scores)


def test_without_vectors_nothing_can_be_refined(vectors):
    index = LOPQIndex(cells=3, refine=0).build(vectors)
    with pytest.raises(BadConfig, match="built with refine=0"):
        index.with_options(refine=10)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"codebooks": "own"}, "codebooks 'own': choose one of local, shared"),
        ({"code_bytes": 0}, "code_bytes must be at least 1, got 0"),
        ({"refine": -1}, "must be at least 0, got -1"),
        ({"shrinkage": -2}, "must be at least 0, got 500 and -2"),
    ],
)
def test_options_out_of_range_are_refused(options, says):
    with pytest.raises(BadConfig, match=says):
        LOPQIndex(**options)


def test_unit_vectors_are_compared_by_distance_and_the_scores_are_those_of_the_metric(vectors, queries):
    index = LOPQIndex(cells=5, nprobe=5, refine=0).build(vectors)
    assert index.distances
    assert not LOPQIndex(cells=5).build(1.5 * vectors).distances
    short, long = index.search(queries, 20), index.search(3 * queries, 20)
    np.testing.assert_array_equal(short.items, long.items)
    np.testing.assert_allclose(3 * short.scores, long.scores, rtol=1e-5)
    exact = (queries[:, None] * vectors[short.items]).sum(axis=2)
    assert np.abs(short.scores - exact).mean() < 0.1


def test_distances_find_more_where_clusters_have_shapes_of_their_own():
    vectors, queries = clustered_vectors(20_000, 200, 32, clusters=10, spread=0.8, decay=1.5)
    ground_truth = GroundTruth(vectors, queries, [50], "inner_product")
    recall = {
        flag: ground_truth.recall(
            LOPQIndex(cells=20, nprobe=20, code_bytes=4, refine=0, distances=flag).build(vectors)
        )[50]
        for flag in (True, False)
    }
    assert recall[True] > recall[False] + 0.05
