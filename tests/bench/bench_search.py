"""Measures `search`: recall on really embedded vectors, and time on vectors spread from these.

python tests/bench/bench_search.py FOLDER [rows …]

FOLDER keeps the embedded vectors, so that a second call measures at once. 5,200 pictures are made (crops of the sample
photographs, mirrored, brightened, in other sizes; drawn words and numbers) and embedded by the embedded service, which
takes some minutes on two cores. Then as many vectors as `rows` says (100,000 and 1,000,000 by default) are made from
these, each with noise of its own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from pipeline import Job
from pipeline.offline.models import layout
from pipeline.offline.models.labels import names
from pipeline.search import index
from pipeline.search.index import Index
from pipeline.store import Store
from pipeline.store.datasets import schema
from pipeline.store.disk import DISK
from pipeline.store.part_writer import write_part
from pipeline.store.parts import part_name

ROOT = Path(__file__).parents[2]
CROPS, DRAWN, TEXTS, PICTURES = 4_000, 1_200, 200, 200
PART = 2_900
"""Rows of a part, as a run seals them."""
Array = np.ndarray[Any, Any]


def make_pictures(folder: Path) -> None:
    """Writes the pictures, the same ones each time."""
    random = np.random.default_rng(7)
    photos = [Image.open(path).convert("RGB") for path in sorted((ROOT / "sample_data/photos").glob("*.jpg"))]
    folder.mkdir(parents=True)
    for number in range(CROPS + PICTURES):
        photo = photos[number % len(photos)]
        side = int(random.uniform(0.15, 0.9) * min(photo.size))
        left, top = (int(random.integers(0, length - side + 1)) for length in photo.size)
        crop = photo.crop((left, top, left + side, top + side)).resize((int(random.integers(96, 288)),) * 2)
        crop = ImageEnhance.Brightness(crop).enhance(float(random.uniform(0.6, 1.4)))
        crop = ImageOps.mirror(crop) if random.integers(0, 2) else crop
        crop.save(
            folder / f"{'crop' if number < CROPS else 'query'}-{number:05}.jpg", quality=int(random.integers(40, 95))
        )
    for number in range(DRAWN):
        words = [names()[n] for n in random.integers(0, 1000, 2)] + [str(random.integers(10, 99_999))]
        drawn = Image.new("RGB", (320, 200), tuple(int(n) for n in random.integers(160, 256, 3)))
        font = ImageFont.load_default(int(random.integers(14, 28)))
        ImageDraw.Draw(drawn).multiline_text((10, 20), "\n".join(words), "black", font)
        drawn.save(folder / f"drawn-{number:05}.png")


def embedded(folder: Path) -> dict[str, Array]:
    """Returns the vectors of the rows and of the queries, made by the embedded service."""
    kept = folder / "vectors.npz"
    if not kept.exists():
        if not (folder / "pictures").exists():
            make_pictures(folder / "pictures")
        random = np.random.default_rng(8)
        rows: list[dict[str, str]] = [
            {"id": path.name, "image": str(path)} for path in sorted((folder / "pictures").iterdir())
        ]
        words = [f"a photo of a {names()[n]}" for n in random.integers(0, 1000, TEXTS)]
        rows += [{"id": f"text-{n:05}", "text": word} for n, word in enumerate(words)]
        sounds = sorted((ROOT / "sample_data/sounds").iterdir())
        rows += [{"id": f"sound-{n:05}", "audio": str(path)} for n, path in enumerate(sounds)]
        job = Job(task="embed", manifest=rows, output=folder / "out", offline=True)
        job.run()  # a few crops are black: their equal vectors are suspect, and stay out
        ids, vectors = job.vectors()
        kinds = np.array([id_.partition("-")[0] for id_ in ids])
        np.savez(kept, **{kind: vectors[kinds == kind] for kind in np.unique(kinds)})
    with np.load(kept) as found:
        return dict(found)


def spread(base: Array, first: int, rows: int) -> Array:
    """Returns vectors near the embedded ones: each has noise of its own where the embedded one is not zero."""
    random = np.random.default_rng(first)
    picked = base[random.integers(0, len(base), rows)]
    noise = random.standard_normal(picked.shape).astype(np.float32) * (picked != 0)
    noise *= 0.5 / np.linalg.norm(noise, axis=1, keepdims=True)
    mixed: Array = picked + noise
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    return mixed


def fill(output: Path, rows: int, made: Any) -> None:
    """Writes an output of `rows` answers. made(first, count): returns the vectors of these rows."""
    Store.open(output, "embed", run_id="r", dimension=1536).close()
    fixed = schema("results", "embed", 1536)
    for first in range(0, rows, PART):
        count = min(PART, rows - first)
        vectors = np.ascontiguousarray(made(first, count))
        values: dict[str, Any] = {
            "id": [f"r{number}" for number in range(first, first + count)],
            "fingerprint": [f"{number:032x}" for number in range(first, first + count)],
            "seq": range(first + 1, first + count + 1),
            "provider": ["dashscope"] * count,
            "model": ["m"] * count,
        }
        flat = pa.array(vectors.ravel())
        arrays = [
            pa.FixedSizeListArray.from_arrays(flat, type=field.type)
            if field.name == "embedding"
            else pa.array(values.get(field.name, [None] * count), field.type)
            for field in fixed
        ]
        part = output / "results" / part_name(first + 1, first + count)
        write_part(DISK, part, pa.Table.from_arrays(arrays, schema=fixed))


def opened(output: Path) -> Index:
    began = time.perf_counter()
    found = index.load(output, "embed", layout.SIZES[layout.LAYOUT])
    assert found is not None
    print(f"  codes of {len(found.seq):,} vectors in {time.perf_counter() - began:.1f} s", end="")
    began = time.perf_counter()
    index.load(output, "embed", layout.SIZES[layout.LAYOUT])
    print(f", read again in {time.perf_counter() - began:.1f} s")
    return found


def recall(found: Index, base: Array, queries: Array) -> float:
    """The share of the ten nearest rows that are found; a row that is as near as the tenth counts as one of them."""
    hits = 0
    for query in queries:
        scores = base @ (query / np.linalg.norm(query))
        tenth = np.sort(scores)[-10]
        near = found.nearest(query, 10, np.ones(len(base), bool))
        hits += int((scores[near.seq - 1] >= tenth - 1e-6).sum())
    return hits / (10 * len(queries))


def times(found: Index, queries: Array) -> list[float]:
    among = np.ones(len(found.seq), bool)
    taken = []
    for query in queries:
        began = time.perf_counter()
        found.nearest(query, 10, among)
        taken.append(time.perf_counter() - began)
    return sorted(taken)


def exact_times(base: Array, queries: Array) -> list[float]:
    """The time of a search that compares every vector, for the comparison in the same run."""
    taken = []
    for query in queries:
        began = time.perf_counter()
        scores = base @ query
        np.argpartition(-scores, 10)[:10]
        taken.append(time.perf_counter() - began)
    return sorted(taken)


def main(folder: Path, sizes: list[int]) -> None:
    found = embedded(folder)
    base = np.concatenate([found["crop"], found["drawn"]])
    queries = {"pictures": found["query"], "texts": found["text"], "sounds": found["sound"]}
    if not (folder / "real").exists():
        fill(folder / "real", len(base), lambda first, count: base[first : first + count])
    real = opened(folder / "real")
    for candidates in (index.CANDIDATES, 200):
        index.CANDIDATES = candidates
        told = ", ".join(f"{kind} {recall(real, base, asked):.4f}" for kind, asked in queries.items())
        print(f"recall@10 of {len(base):,} embedded vectors, {candidates} compared exactly: {told}")
    index.CANDIDATES = 1_000
    for rows in sizes:
        output = folder / f"spread-{rows}"
        if not output.exists():
            fill(output, rows, lambda first, count: spread(base, first, count))
        print(f"{rows:,} vectors spread from these")
        large = opened(output)
        for kind, asked in queries.items():
            taken = times(large, asked[:50])
            print(f"  {kind}: median {taken[len(taken) // 2] * 1e3:.1f} ms, least {taken[0] * 1e3:.1f} ms")
        if rows <= 100_000:
            whole = np.concatenate([large.exact(np.arange(at, min(at + PART, rows))) for at in range(0, rows, PART)])
            taken = exact_times(whole, queries["pictures"][:20])
            print(f"  every vector compared: median {taken[10] * 1e3:.1f} ms, least {taken[0] * 1e3:.1f} ms")
            told = ", ".join(f"{kind} {recall(large, whole, asked[:50]):.4f}" for kind, asked in queries.items())
            print(f"  recall@10: {told}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(text) for text in sys.argv[2:]] or [100_000, 1_000_000])
