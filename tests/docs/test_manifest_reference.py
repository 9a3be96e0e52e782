"""The reference of the manifest in sample_data/README.md is current and complete."""

from __future__ import annotations

import pytest

from pipeline.job.schema import ColumnsSection
from pipeline.manifest.reference import PAGE, reference, with_reference
from pipeline.manifest.table_formats import BUILT_IN


def test_the_page_has_the_current_reference():
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_reference(page), "run python -m pipeline.manifest.reference"


@pytest.mark.parametrize("field", ColumnsSection.__struct_fields__)
def test_every_field_of_a_row_is_in_the_reference(field):
    assert f"| `{field}` | " in reference()


@pytest.mark.parametrize("suffix", [suffix for form in BUILT_IN.values() for suffix in form.suffixes])
def test_every_ending_is_in_the_reference(suffix):
    assert f"`{suffix}`" in reference()


def test_the_example_of_a_format_works(tmp_path):
    code = reference().partition("```python\n")[2].partition("```")[0]
    made: dict = {}
    exec(code, made)
    (tmp_path / "a.bars").write_text("1.jpg|What is this?\nno bar\n")
    good, bad = made["FORMAT"].lines(str(tmp_path / "a.bars"), None)
    assert good == (1, {"image": "1.jpg", "prompt": "What is this?"})
    assert bad == (2, made["BadLine"]("the line has no |"))


def test_a_page_without_the_section_is_refused():
    with pytest.raises(ValueError, match="no section"):
        with_reference("# Sample data\n")
