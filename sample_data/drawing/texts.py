"""The pictures of text, their languages and file formats, and their truth beside them."""

from __future__ import annotations

import json
from pathlib import Path

from drawing import notes, receipts, signs

# file name -> language, drawing
TEXTS = {
    "receipt_en.jpg": ("en", receipts.receipt_en),
    "receipt_zh.jpg": ("zh", receipts.receipt_zh),
    "table_en.png": ("en", receipts.table_en),
    "table_zh.png": ("zh", receipts.table_zh),
    "poster_en.jpg": ("en", signs.poster_en),
    "poster_zh.jpg": ("zh", signs.poster_zh),
    "sign_en.jpg": ("en", signs.sign_en),
    "sign_zh.jpg": ("zh", signs.sign_zh),
    "tilted_en.jpg": ("en", notes.tilted_en),
    "tilted_zh.jpg": ("zh", notes.tilted_zh),
    "noisy_en.jpg": ("en", notes.noisy_en),
    "noisy_zh.jpg": ("zh", notes.noisy_zh),
    "bilingual_label.jpg": ("zh+en", notes.bilingual),
    "bilingual_card.jpg": ("zh+en", notes.card_bilingual),
}


def write_texts(folder: Path) -> None:
    """Draw every picture and write `truth.jsonl`: file, language, and its lines as a person reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    truths = []
    for name, (language, draw) in TEXTS.items():
        page = draw()
        page.picture.save(folder / name, **({"quality": 82} if name.endswith(".jpg") else {"optimize": True}))
        truths.append(json.dumps({"file": name, "language": language, "lines": page.lines}, ensure_ascii=False))
    (folder / "truth.jsonl").write_text("\n".join(truths) + "\n", encoding="utf-8")
