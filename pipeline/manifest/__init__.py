"""Rows in: one reader per format; and media: probed, loaded, fitted to the model's limits."""

from __future__ import annotations

from pipeline.manifest.from_python import from_table
from pipeline.manifest.open import Manifest, open_manifest

__all__ = ["Manifest", "from_table", "open_manifest"]
