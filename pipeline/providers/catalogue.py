"""Everything known of models: built-in data and the user's own, with the prices of all regions."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pipeline.errors import JobError
from pipeline.providers import NAMES, models
from pipeline.providers import prices as tables
from pipeline.providers.edit_distance import meant
from pipeline.providers.models import Model, Tables
from pipeline.providers.prices import Price


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of one service; `service` is `yours` for a model of the user-wide file alone. prices: one a region."""

    service: str
    model: Model
    prices: tuple[Price, ...] = ()


def entries(provider: str | None, user_wide: Tables) -> Iterator[Entry]:
    """All known models of a provider (None: of all), in the order of the data, the user's own last."""
    seen: set[str] = set()
    for service in NAMES:
        for name in models.names(service):
            seen.add(name)
            if provider in (None, service):
                yield _entry(service, name, user_wide)
    for name in user_wide:
        if name not in seen and provider is None:
            model = models.find("openai", name, None, user_wide)
            yield Entry(service="yours", model=model, prices=(model.price,) if model.price else ())


def of_name(name: str, provider: str | None, user_wide: Tables) -> list[Entry]:
    """The entries of that name. Raises JobError with the nearest known name where there is none."""
    known = list(entries(provider, user_wide))
    found = [entry for entry in known if entry.model.name == name]
    if not found:
        near = meant(name.lower(), {entry.model.name.lower(): None for entry in known})
        hint = f"; did you mean {near!r}?" if near else "; `pipeline models` lists what is known"
        raise JobError(f"no model {name!r} is known{hint} (a job may name any model)")
    return found


def _entry(service: str, name: str, user_wide: Tables) -> Entry:
    model = models.find(service, name, None, user_wide)
    own = "price" in user_wide.get(name, {})
    prices = (model.price,) if own and model.price is not None else tuple(tables.everywhere(service, name))
    return Entry(service=service, model=model, prices=prices)
