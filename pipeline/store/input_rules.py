"""How an output has read its manifest from its beginning: what later versions must keep to."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import StoreError
from pipeline.manifest.rows import CURRENT_RULES, LATER_FIELDS, InputRules
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.layout import Layout
from pipeline.types import TaskName


def input_rules(output: Path, task: TaskName) -> InputRules:
    """The rules of the output folder; the current ones where nothing was written yet.

    In an output that 0.1.0 began, a field that 0.1.0 did not know stays a column of the row if rows had such a column.
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
            continue  # Whoever opens the output says what is wrong with it.
    return frozenset(names)
