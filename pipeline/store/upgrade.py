"""Brings the parts of an older format up to this one: row columns whose names have become ours get other names.

Parts without such columns stay as they are: what they lack reads as NULL. The others are written anew, each as a merged
part that replaces it in one step; the part without rows comes last. Cut short at any point, the views still show every
row (`outdated`), and the next run goes on.
"""

from __future__ import annotations

from pipeline.store.columns import sql_type
from pipeline.store.files import Files
from pipeline.store.known import Known
from pipeline.store.merge import merge
from pipeline.store.parts import listed, read_head, shown
from pipeline.store.schema import FORMAT, free_name, schema, schema_of_format


def upgrade(files: Files, known: Known) -> None:
    """Brings one dataset up to this version's format. Raises OSError and StoreError."""
    if known.format == FORMAT:
        return
    for part in shown(listed(known.folder)) if known.renamed else ():
        columns, format_ = read_head(part.path)
        if format_ < FORMAT and not known.renamed.keys().isdisjoint(columns.names):
            merge(files, known, [part])
    known.learn(files, known.row, known.dimension)


def outdated(known: Known) -> str:
    """The columns of a dataset that no run has brought up yet, as this version names them: a list for SQL over the
    relation `rows_`, which has the name of the part in the column `free_name`. Raises StoreError."""
    before = set(schema_of_format(known.folder.name, known.task, known.format).names)
    old = {new: name for name, new in known.renamed.items()}
    new_parts = [part.path.name for part in shown(listed(known.folder)) if read_head(part.path)[1] == FORMAT]
    ours = set(schema(known.folder.name, known.task).names)
    part = free_name(known.folder.name, known.task)
    columns = []
    for field in known.schema():
        name = _quoted(field.name)
        if field.name in ours - before:
            columns.append(f"null::{sql_type(field.type)} as {name}")
        elif field.name in old:
            columns.append(
                f"{_renamed(name, _quoted(old[field.name]), sql_type(field.type), part, new_parts)} as {name}"
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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
