"""A failure keeps its row so that it can be sent again from any folder: the fields that hold parts in order."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from support.manifests import job_of

from pipeline.manifest import from_table
from pipeline.manifest.replayable import replayable_row
from pipeline.types import Row

MARK = {"type": "ephemeral"}
PARTS = [
    {"text": "a.jpg", "cache_control": MARK},
    {"image": "a.jpg", "detail": "high"},
    {"image": "file://sub/b.png"},
    {"frames": ["c.jpg", "https://h/d.jpg"], "fps": 2, "max_frames": 4},
    {"frames": "clips/1"},
    {"frames": '["e.jpg", "f.jpg"]'},
    {"video": "v.mp4", "fps": 0.5},
    {"audio": "s.wav"},
]
ROWS: dict[str, dict[str, Any]] = {
    "contents": {"contents": PARTS},
    "contents as JSON": {"contents": json.dumps(PARTS)},
    "video": {"video": ["v.mp4", "https://h/w.mp4", "/abs/x.mp4"], "fps": 2, "max_frames": 8},
    "videos as JSON": {"video": '["v.mp4", "file://w.mp4"]'},
    "prompts": {"image": "a.jpg", "prompts": ["a.jpg", "b/c.jpg"]},
    "a sound": {"audio": "s.wav", "prompt": "s.wav"},
    "earlier turns": {"messages": [
        {"role": "user", "frames": ["a.jpg", "b.jpg"], "fps": 2, "text": "a.jpg"},
        {"role": "assistant", "text": "b.jpg"},
        {"role": "user", "video": "v.mp4", "audio": ["s.wav"], "images": ["c.jpg"]},
        {"role": "user", "contents": PARTS},
        {"role": "user", "contents": json.dumps(PARTS)},
        {"role": "user", "frames": '["a.jpg"]'},
    ], "prompt": "And now?"},
}  # fmt: skip


def row_of(fields: dict[str, Any], base: str, **columns: str) -> Row:
    return next(from_table([{"id": "r", **fields}], job_of("ask", columns), base).rows())


def meaning(row: Row) -> Any:
    """What a row asks, without its place and its spelling."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if key not in ("ref", "raw")}
        return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    return plain(msgspec.to_builtins(row))


@pytest.mark.parametrize("name", ROWS)
def test_a_kept_row_asks_the_same_from_another_folder(name: str) -> None:
    row = row_of(ROWS[name], "/base")
    assert row.problem is None
    kept = json.loads(json.dumps(replayable_row(row, job_of("ask"), "/base")))
    again = row_of(kept, "/elsewhere")
    assert meaning(again) == meaning(row)
    assert "/elsewhere" not in repr(msgspec.to_builtins(again))


def test_a_kept_row_keeps_the_manifests_own_names() -> None:
    job = job_of("ask", {"video": "clip", "contents": "parts"})
    fields = {"clip": "v.mp4", "parts": PARTS[:2], "video": "a note"}
    kept = replayable_row(row_of(fields, "/base", video="clip", contents="parts"), job, "/base")
    assert (kept["clip"], kept["video"]) == ("/base/v.mp4", "a note")
    assert kept["parts"][1] == {"image": "/base/a.jpg", "detail": "high"}


def test_parts_are_kept_without_signatures_and_data() -> None:
    secret = "c2VjcmV0"
    signed = f"https://h/a.jpg?Signature={secret}&v=1"
    parts = [{"image": signed}, {"image": f"data:image/png;base64,{secret}"}, {"audio": b"secret"},
             {"frames": [signed]}, {"video": signed}]  # fmt: skip
    fields = {"contents": parts, "video": signed, "messages": [{"role": "user", "contents": parts[:2]}]}
    kept = replayable_row(row_of(fields, "/base"), job_of("ask"), "/base")
    assert secret not in repr(kept)
    assert b"secret" not in repr(kept).encode()
    assert kept["contents"][0] == {"image": "https://h/a.jpg?v=1"}
    assert kept["contents"][1]["image"].startswith("data:image/png;sha256=")


@pytest.mark.parametrize("depth", [65, 200, 300, 480, 5000])
@pytest.mark.parametrize("field", ["contents", "messages"])
def test_lists_nested_without_end_are_refused_and_kept(field: str, depth: int) -> None:
    text = '[{"contents":' * depth + "1" + "}]" * depth
    row = row_of({field: text}, "/base")
    assert row.problem is not None
    assert row.problem.code == "Local.BadField"
    assert replayable_row(row, job_of("ask"), "/base")[field] == text


def test_a_part_that_leaves_the_folder_is_refused_again() -> None:
    row = row_of({"contents": [{"image": "../../etc/passwd"}]}, "/base")
    assert row.problem is not None
    again = row_of(replayable_row(row, job_of("ask"), "/base"), "/base")
    assert again.problem == row.problem
