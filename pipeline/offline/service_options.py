"""The options of the embedded service: quotas, latency, scripted faults."""

from __future__ import annotations

import re

import msgspec

from pipeline.errors import JobError

FAULTS: tuple[str, ...] = (
    "429",
    "429+retry-after",
    "500",
    "502",
    "503",
    "504",
    "401",
    "arrears",
    "model-gone",
    "inspection",
    "stream-error",
    "html",
    "cut",
    "drop",
    "hang",
    "garbage",
    "slow",
    "empty",
    "ok",
)
_SHARE = re.compile(r"^(?P<kind>[a-z0-9+-]+):(?P<number>\d+(?:\.\d+)?)(?P<percent>%?)$")


class ServiceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The behaviour of the service.

    rpm, tpm: the most requests and tokens in any 60 s; above these the service answers 429. per_second: enforce rpm/60
    in any second too, as the services do. latency_ms: the wait before each answer. fail: (kind, share of requests from
    0 to 1) pairs. script: one kind for each of the first requests, `ok` for no fault; `fail` holds for later requests.
    seed: the same seed gives the same faults in the same order of requests. wrong_keys: keys that are refused with 401.
    models_offline: models that are answered as retired. retry_after: seconds in the `429+retry-after` answer.
    upload_expires: seconds for which an upload certificate is valid.
    """

    rpm: int | None = None
    tpm: int | None = None
    per_second: bool = True
    latency_ms: int = 0
    fail: tuple[tuple[str, float], ...] = ()
    script: tuple[str, ...] = ()
    seed: int = 0
    wrong_keys: frozenset[str] = frozenset()
    models_offline: frozenset[str] = frozenset()
    retry_after: float = 2.0
    upload_expires: float = 300.0

    def __post_init__(self) -> None:
        for kind in (*self.script, *(kind for kind, _ in self.fail)):
            if kind not in FAULTS:
                raise JobError(f"no scripted fault is called {kind!r}; there are: {', '.join(FAULTS)}")
        if sum(share for _, share in self.fail) > 1 + 1e-9:
            raise JobError("the shares of scripted faults add up to more than 100%")
        for name in ("rpm", "tpm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise JobError(f"{name} must be greater than 0, found {value}")

    def __repr__(self) -> str:
        return f"ServiceOptions(rpm={self.rpm}, tpm={self.tpm}, latency_ms={self.latency_ms}, fail={self.fail})"


def parse_faults(text: str) -> tuple[tuple[str, float], ...]:
    """Returns (("429", 0.05), ("cut", 0.005)) for `"429:5%,cut:0.005"`. Raises JobError that names the problem."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = _SHARE.match(item)
        if match is None:
            raise JobError(f"scripted fault {item!r} is not of the form kind:share, for instance 429:5%")
        share = float(match["number"]) / (100 if match["percent"] else 1)
        if share > 1:
            raise JobError(f"scripted fault {item!r} has a share over 100%; did you mean {match['number']}%?")
        found.append((match["kind"], share))
    return tuple(found)
