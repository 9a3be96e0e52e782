"""Reports in tests: outputs made of records, and what stands in a page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from support.store_records import keep

from pipeline import Job

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>",
    "<!-- <script> ${alert(1)} {{title}} \u2028 &lt; \\u003c",
    "\u202egnp.exe\u202c \u2067rtl\u2069 \u200f mark",
    '\'; drop view results; -- "quoted" `tick` $(id)',
)
"""Texts that would do something, were they ever HTML, a template, a shell's command or SQL."""


def job(folder: Path, task: str = "caption", *records: Any, **more: Any) -> Job:
    """A job whose output holds these records; nothing was sent for them."""
    file = folder / f"{task}.toml"
    model = "multimodal-embedding-one-peace-v1" if task == "embed" else "qwen3-vl-plus"
    file.write_text(
        f'task = "{task}"\nmanifest = "rows.jsonl"\noutput = "out-{task}"\n'
        f'[provider]\nname = "dashscope"\nmodel = "{model}"\n'
    )
    (folder / "rows.jsonl").write_text('{"id": "a", "image": "a.jpg"}\n')
    made = Job.load(file)
    if records:
        keep(made.spec.output, *records, task=task, **more)
    return made


def data_of(page: bytes) -> dict[str, Any]:
    """The data in a page, found as a browser finds it: up to the first end of the element."""
    found = re.search(rb'<script type="application/json" id="data">(.*?)</script', page, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def by_id(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in data["rows"]}
