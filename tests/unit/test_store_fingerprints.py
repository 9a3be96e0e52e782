"""The compact index of answered questions, and outcomes found again by their numbers."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.store_records import answer, failure, keep, vector

from pipeline.store import Store
from pipeline.store.fingerprints import FingerprintIndex
from pipeline.store.layout import Layout
from pipeline.store.lookup import outcomes
from pipeline.store.maintenance import compact


def fingerprint(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()[:32]


def test_an_index_finds_what_was_added_and_nothing_else() -> None:
    index = FingerprintIndex(recent=16)
    luck = random.Random(1)
    expected: dict[str, int] = {}
    for number in range(3_000):
        known = luck.choice(sorted(expected)) if expected and number % 7 == 0 else fingerprint(number)
        expected[known] = number
        index.add(known, number)
        if number % 100 == 0:
            assert all(index.get(key) == seq for key, seq in expected.items())
    assert {key: index.get(key) for key in expected} == expected
    assert all(index.get(fingerprint(f"other {number}")) is None for number in range(1_000))


def test_a_million_fingerprints_take_24_bytes_each_at_most() -> None:
    index = FingerprintIndex()
    for number in range(200_000):
        index.add(f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:016x}", number)
    assert index.nbytes <= 24 * 200_000


def test_an_index_is_loaded_from_parts_old_and_merged(tmp_path: Path) -> None:
    keep(tmp_path, *(answer(f"a{number}", fingerprint(number)) for number in range(50)))
    keep(tmp_path, *(answer(f"b{number}", fingerprint(number)) for number in range(40, 90)))
    keep(tmp_path, failure("f", fingerprint("failed")), answer("odd", "not hexadecimal"))
    for _ in range(2):
        index = FingerprintIndex.load(Layout(tmp_path))
        found = {number: index.get(fingerprint(number)) for number in range(90)}
        seqs = [seq for seq in found.values() if seq]
        kept = outcomes(Layout(tmp_path), "caption", seqs)
        # Of equal questions the first answer counts: its row is the one that bought it.
        assert [kept[seq].id for seq in seqs] == [f"{'ab'[n >= 50]}{n}" for n in range(90)]
        assert index.get(fingerprint("failed")) is None
        compact(tmp_path, "caption", run_id="c")


def test_outcomes_are_found_in_journal_and_parts(tmp_path: Path) -> None:
    polished: dict[str, Any] = {"extra": {"flag": [1]}, "finish_reason": "stop", "request_id": "q", "tier": "realtime"}
    with Store.open(tmp_path, "caption", run_id="r") as store:
        seqs = [store.answer(answer("a", "A", columns={"tier": 5}, **polished))]
        seqs.append(store.failure(failure("b", "B", "suspect", answer={"caption": "held"}, shared_with="z")))
        for sealed in (False, True):
            if sealed:
                store.seal()
            found = outcomes(store.layout, "caption", [*seqs, 999])
            assert sorted(found) == seqs
            first, second = found[seqs[0]], found[seqs[1]]
            assert (first.id, first.own, first.extra) == ("a", {"caption": "a as A"}, {"flag": [1]})
            assert (first.finish_reason, first.request_id, first.tier) == ("stop", "q", "realtime")
            assert (second.fault, second.message, second.answer) == ("suspect", "no", {"caption": "held"})
            assert (second.shared_with, second.extra) == ("z", {})


def test_a_vector_is_found_with_every_bit(tmp_path: Path) -> None:
    floats = np.random.default_rng(3).standard_normal((5, 8), np.float32)
    with Store.open(tmp_path, "embed", run_id="r", dimension=8) as store:
        seqs = [store.answer(vector(f"v{number}", row)) for number, row in enumerate(floats)]
        store.seal()
        found = outcomes(store.layout, "embed", seqs[1:3])
    assert [found[seq].own["embedding"] for seq in seqs[1:3]] == [row.tobytes() for row in floats[1:3]]
    assert found[seqs[1]].own["modalities"] == ["image"]


def test_blocks_are_found_as_they_were_kept(tmp_path: Path) -> None:
    own = {"ocr_text": "x", "blocks": [{"text": "x", "score": None, "polygon": [[0.0, 1.0]] * 4, "page": None}]}
    record = answer("o")
    record = type(record)(**{**{n: getattr(record, n) for n in record.__struct_fields__}, "own": own})
    with Store.open(tmp_path, "ocr", run_id="r") as store:
        seq = store.answer(record)
        store.seal()
        assert outcomes(store.layout, "ocr", [seq])[seq].own == own


@pytest.mark.parametrize("gone", ["journal", "results"])
def test_what_is_gone_is_not_found(tmp_path: Path, gone: str) -> None:
    with Store.open(tmp_path, "caption", run_id="r") as store:
        seq = store.answer(answer("a"))
        if gone == "results":
            store.seal()
            (part,) = [path for path in (tmp_path / gone).iterdir() if not path.name.startswith("000000000000")]
            part.unlink()
            assert outcomes(store.layout, "caption", [seq]) == {}
        assert outcomes(store.layout, "caption", [seq + 7]) == {}
