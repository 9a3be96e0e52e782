"""The values that pass between the packages: frozen, and free of I/O.

manifest line → Row → Request → HttpRequest ═ wire ═ Reply → Answer or Failure → journal
"""

from __future__ import annotations

from pipeline.types.replies import (
    Answered,
    Attempt,
    Block,
    Ending,
    Failed,
    Left,
    Reader,
    Reply,
    Usage,
)
from pipeline.types.requests import (
    Audio,
    EmbedItem,
    Endpoint,
    HttpRequest,
    Image,
    Loaded,
    MediaLimits,
    Part,
    Request,
    Secret,
    Text,
    Turn,
    Video,
    VideoFile,
)
from pipeline.types.rows import (
    Frames,
    FrameSource,
    Item,
    Media,
    MediaKind,
    Member,
    Message,
    Problem,
    Row,
)
from pipeline.types.tasks import (
    Capability,
    ColumnType,
    TaskColumn,
    TaskFacts,
    TaskName,
)

__all__ = [
    "Answered",
    "Attempt",
    "Audio",
    "Block",
    "Capability",
    "ColumnType",
    "EmbedItem",
    "Ending",
    "Endpoint",
    "Failed",
    "FrameSource",
    "Frames",
    "HttpRequest",
    "Image",
    "Item",
    "Left",
    "Loaded",
    "Media",
    "MediaKind",
    "MediaLimits",
    "Member",
    "Message",
    "Part",
    "Problem",
    "Reader",
    "Reply",
    "Request",
    "Row",
    "Secret",
    "TaskColumn",
    "TaskFacts",
    "TaskName",
    "Text",
    "Turn",
    "Usage",
    "Video",
    "VideoFile",
]
