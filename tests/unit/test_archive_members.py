"""References to members of archives, hostile archives, and archives that change."""

from __future__ import annotations

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from support.archives import archived, tar, zipped
from support.manifests import ids, job_of, problems, rows_of, written
from support.pictures import drawn, encoded

from pipeline.errors import Fault, ManifestError
from pipeline.job.schema import MediaSection
from pipeline.manifest import open_manifest
from pipeline.manifest.row_media import expand_frames
from pipeline.media.files import digest, file_size
from pipeline.media.load import load
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.types import Media, MediaLimits, Row

ANY = MediaLimits()
ONE, TWO = encoded(drawn(40, 30)), encoded(drawn(30, 40))
KINDS = ("x.tar", "x.zip")


def code_of(media: Media, confine: str | None = None) -> str:
    with pytest.raises(Fault) as found:
        load(media, ANY, confine=confine)
    return found.value.code.removeprefix("Local.")


def table_of(folder: Path, *images: str) -> list[Row]:
    lines = [json.dumps({"id": str(n), "image": image}) for n, image in enumerate(images)]
    return rows_of(written(folder, "m.jsonl", "\n".join(lines)))


@pytest.mark.parametrize("name", KINDS)
def test_a_reference_to_a_member_stands_in_any_table(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / "s" / name, {"./000.jpg": ONE, "d/é#1.jpg": TWO})
    refs = [f"s/{name}#000.jpg", f"s/{name}#./000.jpg", f"{path}#d/é#1.jpg", f"file://{path}#000.jpg"]
    rows = table_of(tmp_path, *refs)
    assert problems(rows) == {}
    assert [load(row.images[0], ANY, confine=str(tmp_path)).body for row in rows] == [ONE, ONE, TWO, ONE]
    assert [file_size(row.images[0]) for row in rows] == [len(ONE), len(ONE), len(TWO), len(ONE)]
    written(tmp_path, "f.jsonl", json.dumps({"frames": [refs[0], refs[2]], "contents": [{"image": refs[0]}]}))
    (row,) = rows_of(tmp_path / "f.jsonl", "ask")
    assert load(expand_frames(row).frames.images[1], ANY).body == TWO  # type: ignore[index]
    assert load(row.contents[0].content, ANY).body == ONE  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KINDS)
def test_a_reference_that_leads_nowhere_says_so(tmp_path: Path, name: str) -> None:
    archived(tmp_path / name, {"000.jpg": ONE})
    gone, none, folder = table_of(tmp_path, f"gone-{name}#000.jpg", f"{name}#001.jpg", f"{name}#")
    assert [code_of(row.images[0]) for row in (gone, none)] == ["MissingFile", "MissingMember"]
    assert code_of(folder.images[0]) == "MissingFile"
    written(tmp_path, f"bad-{name}", b"words")
    (bad,) = table_of(tmp_path, f"bad-{name}#000.jpg")
    assert code_of(bad.images[0]) == "DamagedArchive"
    (packed,) = table_of(tmp_path, "x.tar.gz#000.jpg")
    with pytest.raises(Fault, match="unpack it to a plain"):
        load(packed.images[0], ANY)


@pytest.mark.parametrize("name", KINDS)
def test_references_stay_within_the_manifests_folder(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / "out" / name, {"a.jpg": ONE})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).symlink_to(path)
    up, link = table_of(tmp_path / "in", f"../out/{name}#a.jpg", f"{name}#a.jpg")
    assert problems([up]) == {"0": "Local.OutsideManifest"}
    assert code_of(link.images[0], confine=str(tmp_path / "in")) == "OutsideManifest"
    (row,) = rows_of(tmp_path / "in" / name)
    assert load(row.images[0], ANY, confine=str(tmp_path / "in")).body == ONE


@pytest.mark.parametrize("name", KINDS)
def test_names_that_lead_out_of_an_archive_are_only_names(tmp_path: Path, name: str) -> None:
    secret = written(tmp_path, "secret.jpg", TWO)
    members = {"../secret.jpg": ONE, str(secret): ONE, "a/../../b.jpg": ONE}
    rows = rows_of(archived(tmp_path / "in" / name, members))
    assert len(rows) == 3
    assert all(load(row.images[0], ANY).body == ONE for row in rows)
    assert all((load(row.images[0], ANY).name or "").find("/") < 0 for row in rows)
    (row,) = table_of(tmp_path / "in", f"{name}#../secret.jpg")
    assert load(row.images[0], ANY).body == ONE


def test_links_in_an_archive_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, "secret.jpg", TWO)
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("soft.jpg", tarfile.SYMTYPE), ("hard.jpg", tarfile.LNKTYPE), ("p.jpg", tarfile.FIFOTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "../secret.jpg"
            archive.addfile(entry)
        entry = tarfile.TarInfo("a.jpg")
        entry.size = len(ONE)
        archive.addfile(entry, io.BytesIO(ONE))
    manifest = open_manifest(str(path), job_of())
    assert ids(list(manifest.rows())) == ["x.tar#a.jpg"]
    assert manifest.passed_over() == {"link in an archive": 2, "special file in an archive": 1}
    (row,) = table_of(tmp_path, "x.tar#soft.jpg")
    assert code_of(row.images[0]) == "NotAFile"
    zip_path = tmp_path / "x.zip"
    with zipfile.ZipFile(zip_path, "w") as packed:
        link = zipfile.ZipInfo("soft.jpg")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        packed.writestr(link, "../secret.jpg")
    manifest = open_manifest(str(zip_path), job_of())
    assert (list(manifest.rows()), manifest.passed_over()) == ([], {"link in an archive": 1})


@pytest.mark.parametrize("name", KINDS)
def test_hidden_members_are_passed_over(tmp_path: Path, name: str) -> None:
    members = {"a.jpg": ONE, "__MACOSX/._a.jpg": b"x", ".h/b.jpg": ONE, "@eaDir/a.jpg/t.jpg": ONE}
    manifest = open_manifest(str(archived(tmp_path / name, members)), job_of())
    assert ids(list(manifest.rows())) == [f"{name}#a.jpg"]
    assert manifest.passed_over() == {"@eaDir": 1, "__MACOSX": 1, "hidden": 1}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice_is_read_once(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / name, [("a.jpg", ONE), ("b.jpg", TWO), ("a.jpg", TWO), ("b.jpg", TWO)])
    rows = rows_of(path)
    assert sorted(ids(rows)) == [f"{name}#a.jpg", f"{name}#a.jpg", f"{name}#b.jpg", f"{name}#b.jpg"]
    (row,) = table_of(tmp_path, f"{name}#a.jpg")
    assert digest(row.images[0]) == digest(next(row for row in rows if row.id.endswith("a.jpg")).images[0])


def test_names_that_are_no_text_are_failures(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {os.fsdecode(b"caf\xe9.jpg"): ONE, "b.jpg": ONE}, tarfile.GNU_FORMAT)
    assert problems(rows_of(path)) == {"x.tar#caf\\xe9.jpg": "Local.BadName"}


def test_members_that_cannot_be_unpacked_are_failures(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.jpg": ONE, "b.jpg": TWO}, zipfile.ZIP_STORED)
    body = bytearray(path.read_bytes())
    record = body.index(b"PK\1\2")
    body[record + 8] |= 1
    path.write_bytes(body)
    locked, plain = rows_of(path)
    with pytest.raises(Fault, match=r"UnreadableMember.*x\.zip#a\.jpg: it is encrypted; unpack the archive"):
        load(locked.images[0], ANY)
    assert load(plain.images[0], ANY).body == TWO
    (row,) = rows_of(zipped(tmp_path / "y.zip", {"a.jpg": ONE}, zipfile.ZIP_LZMA))
    with pytest.raises(Fault, match="compression method 14 is not read"):
        load(row.images[0], ANY)


def zip_that_states(folder: Path, content: bytes, size: int) -> Path:
    """A deflated member that claims to unpack to `size` bytes."""
    path = zipped(folder / "bomb.zip", {"a.jpg": content})
    body = bytearray(path.read_bytes())
    for at in (body.index(b"PK\1\2") + 24, body.index(b"PK\3\4") + 22):
        struct.pack_into("<L", body, at, size)
    path.write_bytes(body)
    return path


@pytest.mark.parametrize("stated", [10, 1_000_000, 300 * 2**20])
def test_a_bomb_unpacks_to_no_more_than_it_states(tmp_path: Path, stated: int) -> None:
    import tracemalloc

    path = zip_that_states(tmp_path, bytes(200 * 2**20), stated)
    (row,) = rows_of(path)
    tracemalloc.start()
    assert code_of(row.images[0]) == ("TooLarge" if stated > 256 * 2**20 else "DamagedMember")
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


def test_a_member_with_another_content_than_stated_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.jpg": ONE}, zipfile.ZIP_STORED)
    body = bytearray(path.read_bytes())
    body[len(ONE) // 2] ^= 1
    path.write_bytes(body)
    (row,) = rows_of(path)
    assert code_of(row.images[0]) == "DamagedMember"
    (row,) = rows_of(zip_that_states(tmp_path, ONE, len(ONE) + 5))
    assert code_of(row.images[0]) == "DamagedMember"


@pytest.mark.parametrize(
    "claimed", [b"77777777777\0", b"\x80" + b"\0" * 3 + b"\x7f" * 8, b"\xff" * 12, b"nonsense\0\0\0\0"]
)
def test_a_tar_that_claims_a_huge_member_ends_in_a_failure(tmp_path: Path, claimed: bytes) -> None:
    path = tar(tmp_path / "x.tar", {"a.jpg": ONE, "b.jpg": ONE, "c.jpg": ONE})
    body = bytearray(path.read_bytes())
    at = 512 + (len(ONE) + 511) // 512 * 512
    body[at + 124 : at + 136] = claimed
    head = bytes(body[at : at + 148]) + b" " * 8 + bytes(body[at + 156 : at + 512])
    body[at + 148 : at + 156] = b"%06o\0 " % sum(head)
    path.write_bytes(body)
    rows = rows_of(path)
    assert ids(rows) == ["x.tar#a.jpg", f"line:x.tar@{at}"]
    assert problems(rows) == {f"line:x.tar@{at}": "Local.DamagedArchive"}


def test_an_archive_that_is_cut_off_ends_in_a_failure(tmp_path: Path) -> None:
    whole = tar(tmp_path / "x.tar", {f"{n}.jpg": ONE for n in range(4)}).read_bytes()
    for length in range(0, len(whole) - 1024, 97):
        path = written(tmp_path, "y.tar", whole[:length])
        try:
            rows = rows_of(path)
        except ManifestError:
            assert length < 512
            continue
        sound = [row for row in rows if row.problem is None]
        assert all(load(row.images[0], ANY).body == ONE for row in sound)
        assert len(rows) - len(sound) <= 1
        assert len(sound) == length // (512 + (len(ONE) + 511) // 512 * 512) or length % 512
    whole = zipped(tmp_path / "x.zip", {f"{n}.jpg": ONE for n in range(4)}).read_bytes()
    for length in range(0, len(whole) - 22, 31):
        with pytest.raises(ManifestError, match=r"y\.zip: "):
            rows_of(written(tmp_path, "y.zip", whole[:length]))


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_with_broken_bytes_never_crashes(tmp_path: Path, name: str) -> None:
    import random

    whole = archived(tmp_path / name, {f"{n}.jpg": ONE for n in range(3)} | {"0.txt": b"words"}).read_bytes()
    heads = [at for at in range(0, len(whole)) if whole.startswith((b"PK", b"ustar"), at)] or [0]
    chosen = random.Random(11)
    for _ in range(400):
        body = bytearray(whole)
        for _ in range(chosen.randint(1, 6)):
            at = chosen.choice(heads) + chosen.randint(-300, 60)
            body[at % len(body)] = chosen.choice((0, 1, 0x7F, 0x80, 0xFF, chosen.randrange(256)))
        try:
            rows = rows_of(written(tmp_path, f"y{name}", bytes(body)))
        except ManifestError:
            continue
        for row in rows:
            if row.problem is None:
                with suppress(Fault):
                    load(row.images[0], ANY)


def test_a_zip_directory_outside_the_file_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.jpg": ONE})
    body = bytearray(path.read_bytes())
    end = body.index(b"PK\5\6")
    struct.pack_into("<L", body, end + 12, 2**31)
    with pytest.raises(ManifestError, match="outside the file"):
        rows_of(written(tmp_path, "y.zip", bytes(body)))


@pytest.mark.parametrize("name", KINDS)
def test_an_archive_that_changed_stops_the_run(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / name, {"a.jpg": ONE, "b.jpg": ONE})
    manifest = open_manifest(str(path), job_of())
    list(manifest.rows())
    archived(path, {"a.jpg": ONE, "b.jpg": ONE, "c.jpg": ONE})
    with pytest.raises(ManifestError, match="changed while it was read; run again"):
        list(manifest.rows())


@pytest.mark.parametrize("name", KINDS)
def test_a_member_that_moved_is_not_sent(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / name, {"a.jpg": ONE, "b.jpg": TWO})
    one, two = rows_of(path)
    archived(path, {"0.jpg": TWO, "a.jpg": TWO, "b.jpg": ONE, "c.jpg": ONE})
    for row in (one, two):
        assert code_of(row.images[0]) == "ChangedArchive"
    path.unlink()
    assert code_of(one.images[0]) == "MissingFile"


def test_a_member_that_only_moved_away_in_size_is_seen(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {"a.jpg": ONE})
    (row,) = rows_of(path)
    tar(path, {"a.jpg": TWO + b"\0"})
    assert code_of(row.images[0]) == "ChangedArchive"


def test_many_members_of_one_stem_stay_bounded(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {f"a.{n}.npy": b"x" for n in range(2500)} | {"a.jpg": ONE})
    assert ids(rows_of(path)) == ["x.tar#a.jpg"]


def test_overlapping_members_are_read_each_within_bounds(tmp_path: Path) -> None:
    """Members that share one content, as in a bomb without nesting: each is what it states, or a failure."""
    content = zlib.compress(bytes(1_000_000), 9)[2:-4]
    local = struct.pack(
        "<4s2x4H3L2H", b"PK\3\4", 0, 8, 0, 0, zlib.crc32(bytes(1_000_000)), len(content), 1_000_000, 1, 0
    )
    body = local + b"a" + content
    names = [f"{n}.jpg" for n in range(50)]
    records = b"".join(
        struct.pack("<4s2B2x4H3L5H2L", b"PK\1\2", 20, 3, 0, 8, 0, 0, zlib.crc32(bytes(1_000_000)), len(content),
                    1_000_000, len(name), 0, 0, 0, 0, 0, 0) + name.encode() for name in names
    )  # fmt: skip
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 50, 50, len(records), len(body), 0)
    rows = rows_of(written(tmp_path, "x.zip", body + records + end))
    assert len(rows) == 50
    assert {code_of(row.images[0]) for row in rows} == {"NotAPicture"}


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_taken_of_a_video_in_an_archive(tmp_path: Path, name: str) -> None:
    pytest.importorskip("av")
    from support.videos import moving, video

    from pipeline.media.video_frames import FrameOptions, frames_of

    archived(tmp_path / name, {"clip.mp4": video(moving(12)), "a.jpg": ONE})
    written(tmp_path, "v.jsonl", json.dumps({"video": f"{name}#clip.mp4", "prompt": "What?"}))
    (row,) = rows_of(tmp_path / "v.jsonl", "ask")
    medium = row.videos[0].content
    assert isinstance(medium, Media)
    wanted = FrameOptions(most=3, least=1, by="time", max_pixels=None)
    whole, taken = frames_of(medium, None, wanted, confine=str(tmp_path))
    assert whole.sha256 == digest(medium)
    assert taken.frames[0].source == f"{tmp_path / name}#clip.mp4#t=0.000"
    assert taken.frames[0].name == "clip_001.jpg"


def test_names_without_end_are_failures_with_short_ids(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {"a" * 9000 + ".jpg": ONE, "a" * 9001 + ".jpg": ONE, "b.jpg": ONE})
    rows = rows_of(path)
    assert [row.problem.code if row.problem else None for row in rows] == ["Local.BadName", "Local.BadName", None]
    assert len({row.id for row in rows}) == 3
    assert all(len(row.id) < 300 for row in rows)


@pytest.mark.parametrize("name", KINDS)
def test_a_pdf_in_an_archive_is_asked_anew_for_another_dpi(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / name, {"a.pdf": b"%PDF-1.4 x", "b.jpg": ONE})

    def fingerprints(dpi: int | None) -> list[str]:
        job = msgspec.structs.replace(job_of(), media=MediaSection(dpi=dpi))
        return [Fingerprinter(job, offline=False).fingerprint(row, lambda media: "key") for row in rows_of(path)]

    (pdf, picture), (other, same) = fingerprints(None), fingerprints(300)
    assert (pdf != other, picture == same) == (True, True)
