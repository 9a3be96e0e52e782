"""Outputs of older versions: their parts are brought up to date, and their manifests are read as before.

A new format may add columns. If a row column of an older part has the name of such a column, the part is written again
with the row column under its new name. The new part is a merged part that replaces the old part in one step. Other old
parts stay: the columns that they lack read as NULL. The part without rows is written last. If a run is interrupted at
any point, the views still show every row (`outdated`), and the next run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.manifest.rows import CURRENT_RULES, LATER_FIELDS, InputRules
from pipeline.store.columns import sql_type
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.datasets import DATASETS, FORMAT, declared, free_name
from pipeline.store.disk import Files
from pipeline.store.layout import Layout
from pipeline.store.merge import merge
from pipeline.store.parts import all_parts, live_parts, read_head
from pipeline.store.sql import quoted
from pipeline.types import TaskName


def load_schemas(
    files: Files, layout: Layout, task: TaskName, dimension: int | None, typed: Mapping[str, str]
) -> dict[str, DatasetSchema]:
    """Returns the columns of every dataset by its name. Brings each dataset up to this version's format.

    `dimension`: floats of the embeddings that the run will write. `typed`: name → SQL type of the fields of the answers
    that the run will write. Raises OSError and StoreError.
    """
    schemas = {name: DatasetSchema.load(layout.dataset(name), task) for name in DATASETS}
    for known in schemas.values():
        _upgrade(files, known)
        # A new dimension hides the earlier vectors. So the new dimension counts only from the first new vector on.
        first = known.folder.name == "results" and known.dimension is None
        known.learn(files, known.row, dimension if first else None)
    if typed:
        schemas["failures"].refuse(typed)
        schemas["results"].declare(files, typed)
    return schemas


def _upgrade(files: Files, dataset_schema: DatasetSchema) -> None:
    """Brings one dataset up to this version's format. Raises OSError and StoreError."""
    if dataset_schema.format == FORMAT:
        return
    for part in live_parts(all_parts(dataset_schema.folder)) if dataset_schema.renamed else ():
        columns, format_ = read_head(part.path)
        if format_ < FORMAT and not dataset_schema.renamed.keys().isdisjoint(columns.names):
            merge(files, dataset_schema, [part])
    dataset_schema.learn(files, dataset_schema.row, dataset_schema.dimension)


def outdated(dataset_schema: DatasetSchema) -> str:
    """Returns the columns of a dataset that is still in an older format, as a list for SQL, with this version's names.

    The list selects from the relation `rows_`, whose column `free_name` has the name of the part. Raises StoreError.
    """
    old = {new: name for name, new in dataset_schema.renamed.items()}
    new_parts = [
        part.path.name for part in live_parts(all_parts(dataset_schema.folder)) if read_head(part.path)[1] == FORMAT
    ]
    ours = declared(dataset_schema.folder.name, dataset_schema.task)
    added = {column.name for column in ours if column.since > dataset_schema.format}
    part = free_name(dataset_schema.folder.name, dataset_schema.task)
    columns = []
    for field in dataset_schema.schema():
        name = quoted(field.name)
        if field.name in added:
            columns.append(f"null::{sql_type(field.type)} as {name}")
        elif field.name in old:
            columns.append(
                f"{_renamed(name, quoted(old[field.name]), sql_type(field.type), part, new_parts)} as {name}"
            )
        else:
            columns.append(f"rows_.{name}")
    return ", ".join(columns)


def _renamed(new: str, old: str, type_: str, part: str, new_parts: list[str]) -> str:
    if not new_parts:
        return f"rows_.{old}"
    listing = ", ".join(f"'{name}'" for name in new_parts)
    chosen = f"case when parse_filename(rows_.{part}) in ({listing}) then rows_.{new}::varchar"
    return f"try_cast({chosen} else rows_.{old}::varchar end as {type_})"


def input_rules(output: Path, task: TaskName) -> InputRules:
    """Returns the rules of the output folder, or the current rules if nothing was written yet. Raises StoreError.

    If 0.1.0 began the output, a field that 0.1.0 did not know stays a column of the row if rows had this column.
    """
    layout = Layout(output)
    found = layout.read_format()
    if found is None:
        return CURRENT_RULES
    if found.derived_ids > 1:
        return InputRules(derived_ids=found.derived_ids)
    return InputRules(derived_ids=found.derived_ids, columns=LATER_FIELDS & _row_columns(layout, task))


def _row_columns(layout: Layout, task: TaskName) -> frozenset[str]:
    names: set[str] = set()
    for dataset in ("results", "failures"):
        try:
            names.update(DatasetSchema.load(layout.dataset(dataset), task).row)
        except StoreError:
            continue  # The code that opens the output reports the error.
    return frozenset(names)
