"""README.md in an output: what the folder holds, and, for `datasets.load_dataset(output)`, which files are the results.

Readers of plain Parquet files know nothing of replaced parts and superseded answers. So the page names the parts that
count, and names them only if they have one schema and one row for each id.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.store.disk import Files, replacing, write_all
from pipeline.store.layout import Layout
from pipeline.store.parts import Part, all_parts, live_parts, read_schema, reading_part
from pipeline.types import TaskName

RESULTS = "results"
BATCH_ROWS = 10_000
BEGINS = "<!-- written by pipeline -->"
"""Marks a page of ours. A README.md without the mark belongs to somebody else, and stays."""
_TEXT = """
# An output of pipeline

{rows:,} rows of the task `{task}`. {loading}

| | |
| --- | --- |
| `results/` | Parquet parts with the answers |
| `failures/`, `attempts/`, `runs/` | Parquet parts with what failed, what was sent, and what each run did |
| `catalog.sql` | the views `results`, `failures` and others for DuckDB: `.read catalog.sql` |

Read the parts through the views, or with `pipeline query` and `pipeline export`: a merged part may replace a part.
"""
_LOADABLE = "`datasets.load_dataset` with the path of this folder loads `results`."
_UNLOADABLE = (
    "`datasets.load_dataset` cannot load this folder, because {why}: run `pipeline compact --drop-superseded`, or "
    "`pipeline export --to hf`."
)


def write_card(files: Files, layout: Layout, task: TaskName) -> None:
    """Brings README.md up to date. Raises OSError, StoreError. A page of somebody else stays."""
    path = layout.output / "README.md"
    if path.exists() and BEGINS not in path.read_text(encoding="utf-8", errors="replace"):
        return
    text = card(layout, task).encode()
    if not path.exists() or path.read_bytes() != text:
        with replacing(files, path) as fd:
            write_all(files, fd, text)


def card(layout: Layout, task: TaskName) -> str:
    """The page, as Markdown with YAML before it."""
    parts = live_parts(all_parts(layout.dataset(RESULTS)))
    stored, rows = _counted(parts)
    why = _obstacle(parts, rows, stored)
    page = _TEXT.format(rows=rows, task=task, loading=_LOADABLE if why is None else _UNLOADABLE.format(why=why))
    return (_configs(parts) if why is None else "") + f"{BEGINS}\n{page}"


def _counted(parts: Sequence[Part]) -> tuple[int, int]:
    """Returns how many answers are stored, and for how many ids.

    The ids are counted by their hashes, part by part, so that a million ids take 8 MB.
    """
    import numpy as np
    import pyarrow.parquet as pq

    hashes = [np.empty(0, np.int64)]
    for part in parts:
        with reading_part(part.path), pq.ParquetFile(part.path, pre_buffer=False) as file:
            batches = file.iter_batches(BATCH_ROWS, columns=["id"], use_threads=False)
            hashes.extend(np.fromiter(map(hash, b.column(0).to_pylist()), np.int64, b.num_rows) for b in batches)
    found = np.concatenate(hashes)
    return len(found), len(np.unique(found))


def _obstacle(parts: Sequence[Part], rows: int, stored: int) -> str | None:
    if not parts:
        return "there are no results yet"
    if stored != rows:
        return f"{stored - rows:,} answers are superseded"
    first = read_schema(parts[0].path)
    if any(read_schema(part.path) != first for part in parts[1:]):
        return "its parts differ in their columns"
    return None


def _configs(parts: Sequence[Part]) -> str:
    """The names of the parts for `datasets`, as YAML."""
    listed = "".join(f"    - {RESULTS}/{part.path.name}\n" for part in parts)
    return f"---\nconfigs:\n- config_name: {RESULTS}\n  data_files:\n  - split: train\n    path:\n{listed}---\n\n"
