"""What is likely a mistake in a job, but may be meant: told to people, refused never."""

from __future__ import annotations

from pipeline.job.load import LoadedJob, user_models
from pipeline.manifest.rows import Shaper
from pipeline.providers.edit_distance import meant
from pipeline.providers.models import find, names


def notes(spec: LoadedJob) -> tuple[str, ...]:
    """The notes of a job, in words. Raises JobError for tables of models that do not fit."""
    own, shared = spec.job.models, user_models()
    section = spec.job.provider
    if section.model in names(section.name) or find(section.name, section.model, own, shared).known:
        return ()
    near = meant(section.model, (*names(section.name), *own, *shared))
    if near is None:
        return ()
    return (
        f'provider.model: no model "{section.model}" is known; did you mean "{near}"? '
        f'The name is used as it is; a table [models."{section.model}"] in the job says that it is right',
    )


def column_notes(spec: LoadedJob, columns: tuple[str, ...] | None) -> tuple[str, ...]:
    """What the columns of a table make likely to be a mistake; nothing where they are not known."""
    if columns is None or Shaper(spec.job, "/").id_name in columns:
        return ()
    near = next((name for name in columns if name.strip(" _").lower() in ("id", "ids")), None)
    if near is None:
        return ()
    return (
        f'the column "{near}" is not the id: ids are made from the fields of each row. '
        f'If it is meant as the id: [columns] id = "{near}" (each row is then another one)',
    )
