"""The index of `search`: the nearest vectors are found, and codes that are stale or damaged are never trusted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.store_records import keep, vector

from pipeline.search import codes, index
from pipeline.search.index import Index
from pipeline.store.maintenance import compact

Array = np.ndarray[Any, Any]
FIXTURES = Path(__file__).parents[1] / "fixtures" / "parts"


def clusters(rows: int, dimension: int, seed: int = 0) -> Array:
    random = np.random.default_rng(seed)
    centres = random.standard_normal((12, dimension)).astype(np.float32)
    return centres[random.integers(0, 12, rows)] + random.standard_normal((rows, dimension)).astype(np.float32)


def filled(output: Path, vectors: Array, first: int = 0, **more: Any) -> None:
    keep(output, *(vector(f"r{first + n}", row, **more) for n, row in enumerate(vectors)), task="embed")


def loaded(output: Path) -> Index:
    found = index.load(output, "embed")
    assert found is not None
    return found


def everything(found: Index) -> Array:
    return np.ones(len(found.seq), bool)


def exact(vectors: Array, query: Array, count: int) -> list[int]:
    """The `seq` of the nearest rows; rows have the seq 1, 2, …"""
    scores = vectors @ query / np.linalg.norm(vectors, axis=1)
    return (np.argsort(-scores)[:count] + 1).tolist()


@pytest.mark.parametrize("dimension", [1, 3, 64, 100, 1024, 1536])
def test_the_nearest_rows_are_found_with_their_cosine(tmp_path, dimension):
    vectors = clusters(40, dimension)
    filled(tmp_path, vectors)
    found = loaded(tmp_path)
    for row in (0, 7, 39):
        near = found.nearest(vectors[row] * 3, 5, everything(found))
        cosines = vectors @ vectors[row] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[row])
        assert near.scores.tolist() == pytest.approx(sorted(cosines, reverse=True)[:5], abs=1e-5)
        assert dimension == 1 or near.seq[0] == row + 1


@pytest.mark.parametrize("kind", ["clusters", "sparse", "one block of three"])
def test_the_codes_choose_the_candidates_well(monkeypatch, tmp_path, kind):
    """With one row in twenty as a candidate, nearly all of the ten nearest are among them."""
    monkeypatch.setattr(index, "CANDIDATES", 150)
    vectors = clusters(3_000, 1_536)
    if kind == "sparse":
        vectors = np.maximum(vectors - 1, 0)
    if kind == "one block of three":
        vectors[:, 512:] = 0
    filled(tmp_path, vectors)
    found = loaded(tmp_path)
    hits = 0
    for row in range(0, 3_000, 100):
        query = vectors[row] + np.random.default_rng(row).standard_normal(1_536).astype(np.float32) * 0.1
        near = found.nearest(query, 10, everything(found))
        hits += len({*near.seq.tolist()} & {*exact(vectors, query, 10)})
    assert hits / 300 >= 0.95, hits


def test_the_codes_are_kept_and_read_again(monkeypatch, tmp_path):
    filled(tmp_path, clusters(20, 64))
    first = loaded(tmp_path)
    monkeypatch.setattr(codes.Codec, "encode", None)
    again = loaded(tmp_path)
    assert np.array_equal(first.codes, again.codes)
    assert again.notes == ()


def test_rows_of_a_later_run_are_found_and_only_their_part_is_coded(tmp_path):
    vectors = clusters(30, 64)
    filled(tmp_path, vectors[:20])
    loaded(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "search").iterdir()}
    filled(tmp_path, vectors[20:], first=20)
    found = loaded(tmp_path)
    assert len(found.seq) == 30
    assert {path: path.stat().st_mtime_ns for path in before} == before
    row = found.nearest(vectors[25], 1, everything(found)).seq[0]
    assert row == found.seq[25]


def test_merged_parts_have_codes_of_their_own_and_the_old_codes_go(tmp_path):
    vectors = clusters(30, 64)
    for first in range(0, 30, 10):
        filled(tmp_path, vectors[first : first + 10], first=first)
    before = loaded(tmp_path)
    names = {path.name for path in (tmp_path / "search").glob("0*.npz")}
    compact(tmp_path, "embed", run_id="c")
    after = loaded(tmp_path)
    assert sorted(after.seq) == sorted(before.seq)
    assert not names & {path.name for path in (tmp_path / "search").glob("0*.npz")}
    for row in range(30):
        assert after.nearest(vectors[row], 1, everything(after)).seq[0] == after.seq[row]


def test_codes_of_another_part_under_the_same_name_are_not_trusted(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    filled(one, clusters(20, 64, seed=1))
    filled(other, clusters(20, 64, seed=2))
    loaded(one)
    loaded(other)
    shutil.rmtree(other / "search")
    shutil.copytree(one / "search", other / "search")
    found = loaded(other)
    vectors = clusters(20, 64, seed=2)
    assert all(found.nearest(vectors[row], 1, everything(found)).seq[0] == row + 1 for row in range(20))


@pytest.mark.parametrize("damage", [b"", b"no zip", None])
def test_damaged_codes_are_made_again(tmp_path, damage):
    vectors = clusters(20, 64)
    filled(tmp_path, vectors)
    loaded(tmp_path)
    for path in (tmp_path / "search").iterdir():
        path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    found = loaded(tmp_path)
    assert [found.nearest(row, 1, everything(found)).seq[0] for row in vectors] == [*range(1, 21)]
    assert found.notes == ()


def test_where_the_codes_cannot_be_kept_the_search_goes_on_and_says_so(tmp_path):
    vectors = clusters(20, 64)
    filled(tmp_path, vectors)
    (tmp_path / "search").write_text("a file where the folder should be")
    found = loaded(tmp_path)
    assert found.nearest(vectors[3], 1, everything(found)).seq[0] == 4
    assert len(found.notes) == 1
    assert "cannot be kept" in found.notes[0]


def test_rows_without_a_comparable_vector_are_left_out(tmp_path):
    """Vectors of another length, of zeros, with NaN; the others are found."""
    rows = clusters(6, 8)
    rows[2] = 0
    rows[3, 1] = np.nan
    keep(tmp_path, vector("short", [1.0, 2.0]), task="embed")
    filled(tmp_path, rows)
    found = loaded(tmp_path)
    assert len(found.seq) == 7
    assert (found.maker < 0).sum() == 3
    near = found.nearest(rows[0], 7, found.maker >= 0)
    assert sorted(near.seq.tolist()) == sorted(found.seq[found.maker >= 0].tolist())
    assert np.isfinite(near.scores).all()


def test_mixed_lengths_in_one_part_are_read(tmp_path):
    keep(tmp_path, vector("a", [1.0, 0.0, 0.0]), vector("b", [1.0, 0.0]), vector("c", [0.0, 1.0]), task="embed")
    keep(tmp_path, vector("d", [0.6, 0.8]), task="embed")
    found = loaded(tmp_path)
    near = found.nearest(np.array([0.0, 1.0], np.float32), 3, found.maker >= 0)
    assert near.seq.tolist() == [found.seq[2], found.seq[3], found.seq[1]]


def test_vectors_that_are_not_in_place_are_kept_beside_the_codes(tmp_path):
    filled(tmp_path, np.array([[1.5, -2.0, 1.0], [0.5, 0.5, 0.5]], np.float32))
    (part,) = (path for path in (tmp_path / "results").glob("*.parquet") if not path.name.startswith("0" * 12 + "-"))
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(part)
    pq.write_table(table.replace_schema_metadata(pa.parquet.read_schema(part).metadata), part, compression="zstd")
    for _ in range(2):
        found = loaded(tmp_path)
        assert found.nearest(np.array([1.5, -2.0, 1.0], np.float32), 2, everything(found)).seq.tolist() == [1, 2]


def test_a_mask_without_rows_finds_nothing(tmp_path):
    filled(tmp_path, clusters(5, 64))
    found = loaded(tmp_path)
    near = found.nearest(np.ones(64, np.float32), 3, np.zeros(5, bool))
    assert near.seq.tolist() == []


def test_an_output_without_vectors_has_no_index(tmp_path):
    keep(tmp_path, task="embed")
    assert index.load(tmp_path, "embed") is None


def test_numpy_without_bitwise_count_gives_the_same_order(monkeypatch):
    vectors = clusters(50, 100)
    codec = codes.Codec((60, 40))
    code, factors = codec.encode(vectors, vectors.mean(axis=0))
    query = codec.query(vectors[3])
    wanted = codec.order_keys(code.T, factors.T, query)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert np.array_equal(codec.order_keys(code.T, factors.T, query), wanted)


@pytest.mark.parametrize("dimension", [1, 64, 384, 1000, 1536])
def test_the_rotation_keeps_lengths_and_dot_products(dimension):
    vectors = clusters(30, dimension)
    turned = codes.Rotation(dimension)(vectors)
    assert turned @ turned.T == pytest.approx(vectors @ vectors.T, rel=1e-4, abs=1e-2)


def test_a_query_of_some_blocks_finds_by_these_alone(monkeypatch, tmp_path):
    """The block that the query leaves zero is larger than the others together, and says nothing."""
    monkeypatch.setattr(index, "CANDIDATES", 100)
    vectors = np.concatenate([clusters(3_000, 512, seed=1) * 2, clusters(3_000, 256, seed=2)], axis=1)
    filled(tmp_path, vectors)
    blocks = index.load(tmp_path, "embed", (512, 256))
    whole = index.load(tmp_path, "embed")
    assert blocks is not None
    assert whole is not None
    found = dict.fromkeys(("blocks", "whole"), 0)
    for row in range(0, 3_000, 100):
        query = np.concatenate([np.zeros(512, np.float32), vectors[row, 512:]])
        for name, one in (("blocks", blocks), ("whole", whole)):
            near = one.nearest(query, 10, everything(one))
            found[name] += len({*near.seq.tolist()} & {*exact(vectors, query, 10)})
    assert found["blocks"] / 300 >= 0.95
    assert found["blocks"] > found["whole"]
