"""Makes the reference of the manifest from the tables in the code.

`python -m pipeline.manifest.reference` writes the reference into its section of sample_data/README.md.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from pipeline.manifest.list_fields import MESSAGE_KEYS, PART_OPTIONS, ROLES
from pipeline.manifest.rows import FIELDS
from pipeline.manifest.table_formats import BUILT_IN, GROUP, TableFormat

PAGE = Path(__file__).parents[2] / "sample_data" / "README.md"
BEGIN = "<!-- written by python -m pipeline.manifest.reference: begin -->"
END = "<!-- written by python -m pipeline.manifest.reference: end -->"
_IN_FOLDER = {
    "always": "are its table",
    "alone": "are its table if no other table is there",
    "named": "are a table only if a glob names them",
}


def reference() -> str:
    """Returns the section as Markdown: the fields of a row, `contents`, earlier turns, and the table formats."""
    parts = [f"| `{kind}` | {_listed(options)} |" for kind, options in PART_OPTIONS.items()]
    return "\n".join(
        [
            "## The fields of a row",
            "",
            '`[columns]` of the job gives a field another column name: `[columns] image = "img"`.',
            "",
            *_table(("field", "meaning"), [f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items()]),
            "| any other column | is kept in the result, and `{name}` in the job's prompt is replaced by its value |",
            "",
            "Each part of `contents` has exactly one of these keys, and the options of its kind. In `embed`, each part",
            "may have a `factor` (a number above 0, its weight). A part with `frames` may also have `fps` and",
            "`max_frames`.",
            "",
            *_table(("part", "options"), parts),
            "",
            f"Each turn of `messages` has a `role` ({_listed(ROLES)}) and at least one other key:",
            f"{_listed(MESSAGE_KEYS[1:])}. `fps` and `max_frames` belong to `frames` or `video`.",
            "",
            "## The table formats",
            "",
            *_table(
                ("`manifest.format`", "endings", "reads"),
                [_format(form) for form in BUILT_IN.values()],
            ),
            "",
            "Other packages can bring formats. A package names a `TableFormat` in an entry point of the group",
            f"`{GROUP}`. `lines` is a function of the path and of `manifest.encoding`:",
            "",
            *_EXAMPLE,
            "",
            "A line can also be a `BadLine(message)`, which becomes a failure with the number of the line. Instead of",
            "such pairs, the function can give record batches of pyarrow.",
        ]
    )


_EXAMPLE = (
    "```python",
    "from pipeline.manifest import BadLine, TableFormat",
    "",
    "",
    "def lines(path, encoding):",
    '    with open(path, encoding=encoding or "utf-8") as file:',
    "        for number, line in enumerate(file, 1):",
    '            name, bar, text = line.rstrip("\\n").partition("|")',
    '            yield number, {"image": name, "prompt": text} if bar else BadLine("the line has no |")',
    "",
    "",
    'FORMAT = TableFormat(name="bars", suffixes=(".bars",), lines=lines)',
    "```",
    "",
    "```toml",
    '[project.entry-points."pipeline.formats"]',
    'bars = "my_package:FORMAT"',
    "```",
)


def _table(head: tuple[str, ...], rows: list[str]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *rows]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _format(form: TableFormat) -> str:
    suffixes = _listed(form.suffixes) + (", each also with `.gz`" if form.packed else "")
    about = " ".join((inspect.getdoc(form.reader) or "").partition("\n\n")[0].split())
    return f"| `{form.name}` | {suffixes} | {about} In a folder, such files {_IN_FOLDER[form.in_folder]}. |"


def with_reference(page: str) -> str:
    """Returns the page with its section up to date. Raises ValueError if the page has no section."""
    return with_section(page, BEGIN, END, reference())


def with_section(page: str, begin: str, end: str, text: str) -> str:
    """Returns the page with `text` between its marks. Raises ValueError if the page does not have both marks."""
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page has no section between {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
