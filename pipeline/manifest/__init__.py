"""Manifests: tables, lists, archives and folders of media, read as a stream of rows."""

from __future__ import annotations

from pipeline.manifest.from_python import from_table
from pipeline.manifest.open import Manifest, open_manifest
from pipeline.manifest.record_reader import BadLine
from pipeline.manifest.table_formats import TableFormat

__all__ = ["BadLine", "Manifest", "TableFormat", "from_table", "open_manifest"]
