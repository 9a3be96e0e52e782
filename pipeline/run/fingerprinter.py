"""A row's identity under a job: the question, the fingerprint, and the stat key that stands for files not read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from pipeline.errors import Fault
from pipeline.job.fingerprint import Question, digest, encode, fingerprint
from pipeline.job.schema import JobFile
from pipeline.manifest.kinds import suffix_of
from pipeline.manifest.row_media import expand_frames, has_unlisted_frames, row_media, stat_key
from pipeline.media.files import digest as digest_of
from pipeline.media.files import read
from pipeline.media.formats import is_cut
from pipeline.media.pdf import is_pdf
from pipeline.media.redact import unsigned
from pipeline.offline.models import layout
from pipeline.tasks import facts
from pipeline.tasks.conversation import parameters, prompts
from pipeline.types import Frames, FrameSource, Item, Loaded, Media, Message, Row

Key = Callable[[Media], str]
"""The key of a local file: the SHA-256 of its bytes, or `unreadable:<code>`. The key of a picture that is sent although
its end is missing begins with CUT. So the row of a cut picture is new when the job begins to send cut pictures."""

CUT = "cut:"


def loaded_key(media: Loaded) -> str:
    """Returns the key of a file that was loaded."""
    return (CUT if media.cut else "") + (media.sha256 or "")


class Fingerprinter:
    """Computes the fingerprints and stat keys of rows under one job."""

    def __init__(self, job: JobFile, *, offline: bool) -> None:
        self._job = job
        self._provider = "offline" if offline else job.provider.name
        self._vectors = layout.identity() if offline and facts(job.task).embeds else None

    def early(self, row: Row) -> str | None:
        """Returns the fingerprint of a row without local files, else None.

        Local files must be read first, or recognised by `stat_key`.
        """
        if has_local_files(row):
            return None
        return self.fingerprint(expand_frames(row), _no_local_file)

    def file_key(self, media: Media, root: str) -> str:
        """Returns the key of a local file by its bytes, even if the bytes are no picture.

        Blocking. Raises the same Faults as `pipeline.media.load.load` for a file that cannot be read.
        """
        if self._job.media.truncated == "refuse" or media.kind != "image":
            return digest_of(media, confine=root) or ""
        return self._data_key(read(media, confine=root))

    def _data_key(self, body: bytes) -> str:
        cut = self._job.media.truncated == "send" and is_cut(body)
        return (CUT if cut else "") + hashlib.sha256(body).hexdigest()

    def fingerprint(self, row: Row, key: Key) -> str:
        """Returns the fingerprint of a row whose frames are listed (`expand_frames`).

        `key`: returns the key of a local file.
        """
        if row.problem is not None:
            return self.broken(row, row.problem.code)
        try:
            return fingerprint(self._question(row, key))
        except Fault as fault:
            return self.broken(row, fault.code)

    def unsent(self, row: Row, root: str) -> str:
        """Returns the fingerprint of a row that is not sent, by the bytes of its local files. Blocking.

        The bytes need not be pictures. For a file that cannot be read, the reason counts. So the row is
        new again when the reason changes.
        """

        def key(media: Media) -> str:
            try:
                return self.file_key(media, root)
            except Fault as fault:
                return f"unreadable:{fault.code}"

        try:
            return self.fingerprint(expand_frames(row), key)
        except Fault as fault:
            return self.broken(row, fault.code)

    def stat_key(self, row: Row) -> str | None:
        """Returns a key that stands for the fingerprint as long as the path, size and time of each local file stay.

        None: a local file is gone, or the row asks nothing.
        """
        files = stat_key(row)
        if files is None or row.problem is not None:
            return None
        try:
            question = self._question(row, _any_file)
        except Fault:
            return None
        # Under another rule for cut pictures, the same file may have another key.
        rule = "" if self._job.media.truncated == "refuse" else f"truncated:{self._job.media.truncated}"
        return digest(encode(question) + files.encode() + rule.encode())

    def broken(self, row: Row, code: str) -> str:
        """Returns the fingerprint of a row that asks nothing. It stays the same while the manifest's row stays the
        same."""
        return digest(b"broken:" + code.encode() + msgspec.json.encode(row.raw, order="deterministic", enc_hook=str))

    def _question(self, row: Row, key: Key) -> Question:
        job = self._job
        system, prompt = prompts(row, job)

        def key_of(media: Media) -> str:
            return key(media) if media.data is None else self._data_key(media.data)

        return Question(
            task=job.task,
            provider=self._provider,
            model=job.provider.model,
            system=system,
            prompt=prompt,
            media=_media(row, key_of),
            parameters=parameters(row, job),
            resize=job.media.resize,
            vectors=self._vectors,
            **_rest(row, job, key_of),
        )


def has_local_files(row: Row) -> bool:
    """Tells whether files of the row must be read before the fingerprint is known."""
    if row.frames is None and not (row.messages or row.audio or row.contents or row.videos):
        return any(media.path is not None for media in row.images)
    return has_unlisted_frames(row) or any(media.path is not None for media in row_media(row))


def _media(row: Row, key: Key) -> list[tuple[str, str]]:
    found = [("image", _key(media, key)) for media in row.images]
    if row.frames is not None:
        if isinstance(row.frames.images, FrameSource):
            found.append(("frames", row.frames.images.pattern))
        else:
            found += [("frame", _key(media, key)) for media in row.frames.images]
    found += [("audio", _key(media, key)) for media in row.audio]
    if row.text is not None:
        found.append(("text", row.text))
    if row.contents and _is_plain(row.contents):
        for item in row.contents:
            found.append(("text", item.content) if isinstance(item.content, str) else _of_medium(item.content, key))
    return found


def _rest(row: Row, job: JobFile, key: Key) -> dict[str, Any]:
    """Returns the fields of a Question that most rows leave out."""
    rest: dict[str, Any] = {}
    if row.messages:
        rest["messages"] = [_turn(message, key) for message in row.messages]
    if row.frames is not None and row.frames.fps is not None:
        rest["fps"] = float(row.frames.fps)
    if row.contents:
        rest["factors"] = [None if item.factor is None else float(item.factor) for item in row.contents]
        if not _is_plain(row.contents):
            rest["contents"] = [_part(item, key) for item in row.contents]
    if row.prompts:
        rest["prompts"] = row.prompts
    if row.videos:
        rest["videos"] = [_part(item, key) for item in row.videos]
    if (row.videos or row.contents or row.messages) and any(media.kind == "video" for media in row_media(row)):
        rest |= {"frames": job.media.frames, "frames_by": job.media.frames_by}
    if job.answer is not None:
        rest["answer"] = job.answer.schema
    return rest | _drawn(row, job)


def _drawn(row: Row, job: JobFile) -> dict[str, Any]:
    """Returns the fields about how files become pictures."""
    found: dict[str, Any] = {}
    if job.media.dpi is not None and any(_is_pdf(media) for media in row_media(row)):
        found["dpi"] = job.media.dpi
    if job.media.max_tokens is not None and any(_is_shrunk(media, job) for media in row_media(row)):
        found["max_tokens"] = job.media.max_tokens
    return found


def _is_shrunk(media: Media, job: JobFile) -> bool:
    """Tells whether `media.max_tokens` holds for a medium: for pictures and videos that are loaded here."""
    return media.kind in ("image", "video") and (media.url is None or job.media.fetch == "here")


def _is_pdf(media: Media) -> bool:
    """Tells whether the file is a PDF: by its bytes if the bytes stand in the row, else by its name."""
    if media.data is not None:
        return is_pdf(media.data)
    name = media.member.name if media.member is not None else media.path or media.url or ""
    return suffix_of(name.partition("?")[0]) == ".pdf"


def _is_plain(items: tuple[Item, ...]) -> bool:
    """Tells whether the fields `media` and `factors` of a Question can describe all items.

    True for texts, pictures and sounds without options. The first version of the recipe knew only these items.
    """
    return not any(item.options or isinstance(item.content, Frames) or _is_video(item.content) for item in items)


def _is_video(content: Media | str | Frames) -> bool:
    return isinstance(content, Media) and content.kind == "video"


def _turn(message: Message, key: Key) -> list[Any]:
    turn = [message.role, message.text, [_key(media, key) for media in message.images]]
    return [*turn, [_part(item, key) for item in message.items]] if message.items else turn


def _part(item: Item, key: Key) -> list[Any]:
    content = item.content
    if isinstance(content, str):
        return ["text", content, item.options]
    if isinstance(content, Media):
        return [*_of_medium(content, key), item.options]
    keys: Any
    if isinstance(content.images, FrameSource):
        keys = content.images.pattern
    else:
        keys = [_key(media, key) for media in content.images]
    return ["frames", keys, {**item.options, **({} if content.fps is None else {"fps": float(content.fps)})}]


def _of_medium(media: Media | Frames, key: Key) -> tuple[str, str]:
    assert isinstance(media, Media)
    return media.kind, _key(media, key)


def _key(media: Media, key: Key) -> str:
    if media.url is not None:
        return unsigned(media.url)
    return key(media)


def _no_local_file(media: Media) -> str:
    raise TypeError("a row with local files has no early fingerprint")


def _any_file(media: Media) -> str:
    return "file"
