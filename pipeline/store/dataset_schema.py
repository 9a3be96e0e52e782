"""The columns of a dataset that are known so far. The part without rows lists them with their types for every view.

DuckDB joins the columns of parts by name, and reads a column as a type that can hold the values of all parts. If the
part without rows has VARCHAR, a column whose types differ between parts is read as text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import StoreError
from pipeline.store.columns import EXACT, arrow_type, common_type, sql_type, stored_names
from pipeline.store.datasets import FORMAT, declared, reserved, schema
from pipeline.store.disk import Files
from pipeline.store.part_writer import write_part
from pipeline.store.parts import SCHEMA_PART, all_parts, live_parts, read_head, reading_part
from pipeline.store.record_tables import RowTypes
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

_UNSETTLED = {b"unsettled": b"1"}
_TYPED = {b"answer": b"1"}


class DatasetSchema:
    """The columns of one dataset.

    `row`: the types of the row's own columns. `dimension`: floats of the newest embeddings. `format`: the format of the
    part that was read. `renamed`: old name → new name, for row columns of parts of an older format whose names are now
    our own. `typed`: those columns of `row` that hold fields of the answer ([answer] of the job), not values of the
    row.
    """

    def __init__(self, folder: Path, task: TaskName, row: RowTypes, dimension: int | None) -> None:
        self.folder = folder
        self.task = task
        self.row = row
        self.dimension = dimension
        self.format = FORMAT
        self.renamed: dict[str, str] = {}
        self.typed: frozenset[str] = frozenset()

    @classmethod
    def load(cls, folder: Path, task: TaskName) -> DatasetSchema:
        """Reads the part without rows. If the part is missing, no column is known. Raises StoreError for a damaged part
        and for a foreign format."""
        path = folder / SCHEMA_PART
        if not path.exists():
            return cls(folder, task, {}, None)
        found, format_ = read_head(path)
        fixed = {column.name for column in declared(folder.name, task, format_)}
        row = {
            field.name: None if (field.metadata or {}).items() >= _UNSETTLED.items() else sql_type(field.type)
            for field in found
            if field.name not in fixed
        }
        size = None
        if "embedding" in found.names:
            size = getattr(found.field("embedding").type, "list_size", None)
        known = cls(folder, task, row, size)
        known.typed = frozenset(field.name for field in found if (field.metadata or {}).items() >= _TYPED.items())
        known._bring_up(format_)
        return known

    def _bring_up(self, format_: int) -> None:
        self.format = format_
        if format_ < FORMAT and self.folder.name in ("results", "failures"):
            names = stored_names(self.row, reserved(self.task), {})
            self.row = {names[name]: type_ for name, type_ in self.row.items()}
            self.renamed = {old: new for old, new in names.items() if old != new}

    def declare(self, files: Files, typed: Mapping[str, str]) -> None:
        """Adds the columns of a typed answer, each with its type. Raises the same errors as `refuse` and `learn`."""
        self.refuse(typed)
        row = {**self.row, **{name: common_type(self.row.get(name), type_) for name, type_ in typed.items()}}
        self.learn(files, row, None, self.typed | typed.keys())

    def refuse(self, typed: Mapping[str, str]) -> None:
        """Raises StoreError for a field of the answer if its column holds the rows' own values so far."""
        own = {name.lower(): name for name in self.row if name not in self.typed}
        for name in typed:
            if name.lower() in own:
                raise StoreError(
                    f"{self.folder.parent}: the column {own[name.lower()]} holds what the rows say, and [answer] has a "
                    "field of that name: rename the field, or take another output"
                )

    def learn(self, files: Files, row: RowTypes, dimension: int | None, typed: frozenset[str] | None = None) -> None:
        """Adds columns and widens types. Writes the part without rows only if something is new.

        typed: None keeps the columns that hold fields of the answer. Raises OSError, and StoreError for a damaged part.
        """
        row, typed = self._exact(row), self.typed if typed is None else typed
        changed = dict(row) != dict(self.row) or (dimension is not None and dimension != self.dimension)
        changed |= typed != self.typed
        path = self.folder / SCHEMA_PART
        if changed or self.format < FORMAT or not path.exists():
            self.row, self.dimension, self.typed = dict(row), dimension or self.dimension, typed
            write_part(files, path, self.schema().empty_table())
            self.format = FORMAT

    def _exact(self, row: RowTypes) -> RowTypes:
        """Returns the types. If a column of whole numbers now also gets fractions, and a double would round one of its
        whole numbers, the column becomes text."""
        now_real = [name for name, type_ in row.items() if type_ == "DOUBLE" and self.row.get(name) == "BIGINT"]
        return {
            **row,
            **dict.fromkeys((name for name in now_real if _holds_beyond(self.folder, name, EXACT)), "VARCHAR"),
        }

    def schema(self) -> pa.Schema:
        """Returns all columns as an Arrow schema. A column that never had a value is text, marked as unsettled."""
        import pyarrow as pa

        fields: list[Any] = list(schema(self.folder.name, self.task, self.dimension))
        for name, type_ in self.row.items():
            metadata = {**({} if type_ else _UNSETTLED), **(_TYPED if name in self.typed else {})} or None
            fields.append(pa.field(name, arrow_type(type_ or "VARCHAR"), metadata=metadata))
        return pa.schema(fields)


def _holds_beyond(folder: Path, column: str, limit: int) -> bool:
    """Tells by the statistics whether a part of the folder has a number beyond ±limit in this column.

    Raises StoreError for a damaged part.
    """
    import pyarrow.parquet as pq

    for part in live_parts(all_parts(folder)):
        with reading_part(part.path):
            meta = pq.read_metadata(part.path)
        for group in range(meta.num_row_groups):
            for place in range(meta.num_columns):
                found = meta.row_group(group).column(place)
                numbers = found.statistics if found.path_in_schema == column else None
                if numbers is not None and numbers.has_min_max and max(numbers.max, -numbers.min) > limit:
                    return True
    return False
