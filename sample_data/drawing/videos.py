"""A short video: the ball of the frames, crossing its field in four seconds."""

from __future__ import annotations

from pathlib import Path

from drawing.frames import SIZE, ball

RATE = 12
SECONDS = 4


def write_videos(folder: Path) -> None:
    """`ball.mp4`: H.264 in MP4, its index in front, no sound."""
    import av

    folder.mkdir(parents=True, exist_ok=True)
    count = RATE * SECONDS
    with av.open(str(folder / "ball.mp4"), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream("libx264", rate=RATE)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.options = {"crf": "24", "preset": "veryslow", "x264-params": "keyint=24"}
        for step in range(count):
            output.mux(stream.encode(av.VideoFrame.from_image(ball(step / (count - 1)))))
        output.mux(stream.encode())
