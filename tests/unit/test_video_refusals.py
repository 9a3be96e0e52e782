"""A file that is no whole video is refused with its name, the reason, and what to do; nothing reaches stderr."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from support.videos import CODECS, moving, picture, song, video

from pipeline.errors import Fault
from pipeline.media.video import probe_video, take_frames

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "sample_data"

# Containers in which a missing end can be seen: a transport stream and a WMV simply stop.
ENDED = sorted(set(CODECS) - {"mpegts", "asf"})


def refused(source: bytes | str, name: str | None = None) -> Fault:
    with pytest.raises(Fault) as caught:
        take_frames(source, most=8, name=name)
    assert caught.value.kind == "rejected"
    return caught.value


def packets(body: bytes) -> list[tuple[int, int]]:
    """Place and size in the file of each packet."""
    import av

    with av.open(io.BytesIO(body)) as container:
        return [(int(packet.pos or 0), packet.size) for packet in container.demux(video=0) if packet.size]


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    found = {container: video(moving(100, (160, 120)), container=container) for container in CODECS}
    return {**found, "faststart": video(moving(100, (160, 120)), options={"movflags": "faststart"})}


@pytest.mark.parametrize("container", [*ENDED, "faststart"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_video_that_was_cut_off_is_refused(container: str, share: float, whole: dict[str, bytes]) -> None:
    body = whole[container]
    fault = refused(body[: int(len(body) * share)], "clip.mp4")
    assert fault.code == "Local.TruncatedVideo"
    assert fault.message.startswith("clip.mp4: ")
    assert "get the whole file" in fault.message


@pytest.mark.parametrize("container", ["mpegts", "asf"])
def test_where_no_end_is_stated_what_is_there_is_taken(container: str, whole: dict[str, bytes]) -> None:
    body = whole[container]
    assert len(take_frames(body[: len(body) // 2], most=4).frames) == 4


def test_a_recording_without_its_index_says_so(whole: dict[str, bytes]) -> None:
    assert "moov" in refused(whole["mp4"][:-400]).message


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("photos/coffee.jpg", "NotAVideo", "a JPEG picture"),
        ("bad/text_named.png", "NotAVideo", "text"),
        ("sounds/chime.wav", "NotAVideo", "a WAV sound"),
        ("bad/empty.jpg", "EmptyFile", "empty"),
        ("nothing.mp4", "MissingFile", "no such file"),
        ("photos", "NotAFile", "not a plain file"),
    ],
)
def test_what_is_no_video_is_named(name: str, code: str, words: str) -> None:
    fault = refused(str(DATA / name))
    assert fault.code == f"Local.{code}"
    assert fault.message.startswith(Path(name).name)
    assert words in fault.message


def test_sound_alone_is_no_video() -> None:
    fault = refused(song(), "talk.mp4")
    assert fault.code == "Local.NoVideoStream"
    assert "`audio`" in fault.message


def test_a_songs_cover_is_no_video() -> None:
    assert refused(song(cover=True)).code == "Local.NoVideoStream"


def test_a_playlist_opens_nothing_that_it_names(tmp_path: Path) -> None:
    other = tmp_path / "other.ts"
    other.write_bytes(video(moving(20), container="mpegts"))
    lists = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{other}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {other}\n",
    )
    for text in lists:
        assert refused(text.encode()).code == "Local.NotAVideo"


def test_a_damaged_video_is_refused_and_not_sent_as_grey_pictures(whole: dict[str, bytes]) -> None:
    body = bytearray(whole["mp4"])
    start = body.index(b"mdat") + 4
    for place in range(start, start + (len(body) - start) // 2, 7):
        body[place] ^= 0x5A
    assert refused(bytes(body)).code == "Local.BrokenVideo"


def test_a_damaged_frame_is_left_out_and_the_others_stay() -> None:
    body = bytearray(video(moving(12, (160, 120)), key_every=1))
    place, size = packets(bytes(body))[5]
    for offset in range(size // 2, size):
        body[place + offset] ^= 0x55
    taken = take_frames(bytes(body), most=12)
    assert len(taken.frames) == 11
    assert all(frame.seconds != pytest.approx(0.5) for frame in taken.frames)


def test_enormous_pictures_are_never_decoded() -> None:
    body = video([picture((9, 9, 9), size=(8448, 4400))], container="avi", codec="mjpeg")
    gif = bytearray(video(moving(3), container="gif"))
    gif[6:10] = b"\xff\xff\xff\xff"
    for hostile in (body, bytes(gif)):
        fault = refused(hostile, "wall.avi")
        assert fault.code == "Local.TooManyPixels"
        assert "35,651,584 pixels" in fault.message
        with pytest.raises(Fault, match="35,651,584 pixels"):
            probe_video(hostile)


def test_a_video_of_many_hours_is_refused() -> None:
    fault = refused(video(moving(3), stamps=[0, 1000, 13 * 3_600_000]), "camera.mp4")
    assert fault.code == "Local.VideoTooLong"
    assert "13.0 hours" in fault.message


def test_a_video_without_a_frame_is_refused() -> None:
    assert refused(video([picture((1, 2, 3))])[:0] or b"\x1aE\xdf\xa3" + bytes(64)).code == "Local.BrokenVideo"


def test_a_missing_extra_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from pipeline.errors import MissingExtra\n"
        "from pipeline.media.video import take_frames\n"
        "try: take_frames(b'x', most=4)\n"
        "except MissingExtra as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert 'pip install "multimodal-batch[video]"' in done.stdout


def test_ffmpegs_own_words_never_reach_stderr(tmp_path: Path, whole: dict[str, bytes]) -> None:
    rows = []
    for name, body in whole.items():
        broken = bytearray(body)
        for place in range(len(body) // 3, len(body) - 300, 11):
            broken[place] ^= 0xFF
        rows += [tmp_path / f"{name}-cut", tmp_path / f"{name}-broken"]
        rows[-2].write_bytes(body[: len(body) * 2 // 3])
        rows[-1].write_bytes(bytes(broken))
    code = (
        "import sys\n"
        "from pipeline.errors import Fault\n"
        "from pipeline.media.video import take_frames, probe_video\n"
        "for path in sys.argv[1:]:\n"
        "    for by in ('time', 'scene'):\n"
        "        try: take_frames(path, most=5, by=by)\n"
        "        except Fault: pass\n"
        "    try: probe_video(path)\n"
        "    except Fault: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, rows)], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
