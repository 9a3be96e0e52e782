"""The embedded service's models say what is true: cats are cats, text is read."""

from __future__ import annotations

import io
import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.offline import DATA

from pipeline.offline.models import answering, features, graph, ocr
from pipeline.offline.models import image as picture
from pipeline.offline.models.labels import family, names
from pipeline.offline.models.ocr import in_reading_order


def caption(path: str, prompt: str = "Describe this picture.") -> str:
    data = (DATA / path).read_bytes()
    return answering.answer(answering.Asked(model="qwen3-vl-plus", prompt=prompt, images=(data,)))


def distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, old = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(old[j] + 1, row[-1] + 1, old[j - 1] + (x != y)))
    return row[-1]


def test_the_cat_is_called_a_cat_and_the_coffee_an_espresso() -> None:
    assert caption("photos/chelsea.jpg").startswith("A cat, probably ")
    assert caption("photos/coffee.jpg").startswith("Espresso in a landscape picture")
    assert "tripod" in caption("photos/camera.jpg")
    assert "missile" in caption("photos/rocket.jpg")


def test_pictures_are_normalised_as_the_weights_were_trained() -> None:
    best = answering.see((DATA / "photos/coffee.jpg").read_bytes()).tags[0]
    assert best.name == "espresso"
    assert best.share == pytest.approx(0.957, abs=0.03)  # ImageNet's own mean and deviation give 0.78


def test_a_caption_quotes_the_text_it_found_and_admits_doubt() -> None:
    assert "“City Museum" in caption("texts/sign_en.jpg")
    assert "not sure" in caption("photos/gravel.jpg")


def test_what_needs_a_language_model_is_not_pretended() -> None:
    answer = caption("texts/sign_zh.jpg", "Translate the text into English.")
    assert "no language model and cannot translate" in answer
    assert "小心地滑" in answer
    nothing = answering.answer(answering.Asked(model="qwen3-vl-plus", prompt="Who was Newton?"))
    assert "no language model" in nothing


def test_text_in_every_drawn_picture_is_read() -> None:
    scores: dict[str, list[float]] = {"en": [], "zh": []}
    for line in (DATA / "texts/truth.jsonl").read_text().splitlines():
        truth = json.loads(line)
        wanted = "".join("".join(truth["lines"]).split())
        lines = ocr.read(picture.bgr(picture.decode((DATA / "texts" / Path(truth["file"]).name).read_bytes())))
        read = "".join(ocr.as_text(lines).split())
        score = 1 - distance(read, wanted) / len(wanted)
        assert score >= 0.9, truth["file"]
        for language in scores:
            if language in truth["language"]:
                scores[language].append(score)
    assert all(found and np.mean(found) >= 0.95 for found in scores.values()), scores


def test_polygons_are_in_pixels_of_the_upright_picture() -> None:
    image = Image.open(DATA / "texts/sign_en.jpg")
    exif = image.getexif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(turned, "JPEG", quality=95, exif=exif)
    plain = answering.read((DATA / "texts/sign_en.jpg").read_bytes())
    upright = answering.read(turned.getvalue())
    assert [line.text for line in upright] == [line.text for line in plain]
    assert np.allclose(upright[0].polygon, plain[0].polygon, atol=6)


def test_tilted_rows_are_read_along_their_tilt() -> None:
    def box(x: float, y: float) -> list[tuple[float, float]]:
        return [(x, y), (x + 100, y + 20), (x + 96, y + 40), (x - 4, y + 20)]

    right, left, below = box(220, 44), box(0, 0), box(-6, 34)
    assert in_reading_order([right, left, below]) == [(0, 1), (0, 0), (1, 2)]


def test_frames_are_counted_and_their_change_is_measured() -> None:
    still = (DATA / "photos/chelsea.jpg").read_bytes()
    clip = answering.Clip(frames=(still,) * 4, fps=2)
    answer = answering.answer(answering.Asked(model="qwen-vl-max", prompt="", clips=(clip,)))
    assert answer.startswith("4 frames over 1.5 s")
    assert "cat" in answer
    assert "hardly moves" in answer


def test_every_class_has_one_name_and_the_dogs_are_dogs() -> None:
    assert len(names()) == 1000
    assert (names()[207], family(207)) == ("golden retriever", "dog")
    assert (names()[999], family(999)) == ("toilet tissue", None)


def test_the_weights_reader_refuses_anything_but_a_state_dict(tmp_path: Path) -> None:
    values: list[Any] = [0x1950A86A20F9469CFC6C, 1001, {}, OrderedDict(a=Path)]
    parts = [pickle.dumps(value, 2) for value in values]
    (tmp_path / "evil.pth").write_bytes(b"".join(parts))
    with pytest.raises(pickle.UnpicklingError, match="not part of a state dict"):
        graph.read_state_dict(tmp_path / "evil.pth")
    (tmp_path / "other.pth").write_bytes(pickle.dumps(1, 2) * 2)
    with pytest.raises(pickle.UnpicklingError, match="legacy form"):
        graph.read_state_dict(tmp_path / "other.pth")


def test_broken_and_enormous_pictures_are_told_apart_without_decoding() -> None:
    with pytest.raises(picture.TooLarge):
        picture.header((DATA / "bad/bomb.png").read_bytes())
    for name in ("empty.jpg", "text_named.png"):
        with pytest.raises(picture.Unreadable):
            picture.header((DATA / "bad" / name).read_bytes())
    with pytest.raises(picture.Unreadable):
        picture.decode((DATA / "bad/truncated.jpg").read_bytes())


@pytest.mark.parametrize("name", ["cmyk.jpg", "rotated.jpg", "sixteen_bit.png", "animated.webp", "animated.gif"])
def test_unusual_but_whole_pictures_are_seen(name: str) -> None:
    image = picture.decode((DATA / "bad" / name).read_bytes())
    assert image.mode == "RGB"
    assert features.see(image).tags[0].share > 0
