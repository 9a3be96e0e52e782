"""`pipeline search`: the rows of an output whose vectors are nearest to a query."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import JobError
from pipeline.job.load import LoadedJob
from pipeline.offline.models import layout
from pipeline.report.html import lines_html
from pipeline.report.state import count, money
from pipeline.report.terminal import one_line
from pipeline.run.output import connect
from pipeline.run.query_vectors import Embedded, Input, embed
from pipeline.search import index
from pipeline.search.index import Index, Near
from pipeline.store import read
from pipeline.store.datasets import OUTCOME_COLUMNS, column_names
from pipeline.store.layout import Layout
from pipeline.store.parts import SCHEMA_PART, all_parts, live_parts
from pipeline.store.sql import escaped, literal, quoted
from pipeline.tasks import facts

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    Array = np.ndarray[Any, Any]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for. `inputs`: texts, pictures and sounds. `ids`: rows of the output.

    The unit vectors of all are added, each times the weight of its kind (`weights`: text, image, audio, id; 1 if it is
    not named).

    `count`: how many rows are wanted. `where`: an SQL condition over the view `results`.
    """

    inputs: tuple[Input, ...] = ()
    ids: tuple[str, ...] = ()
    weights: Mapping[str, float] = {}
    count: int = 10
    where: str | None = None


def query_of(
    given: Mapping[str, str | Iterable[str]], weights: Mapping[str, float], count: int, where: str | None
) -> Query:
    """Returns the query of inputs by kind: text, image, audio and id, each one or several. Raises JobError."""
    several = {kind: (value,) if isinstance(value, str) else tuple(value) for kind, value in given.items()}
    ids = several.pop("id", ())
    for kind in several:
        if kind not in ("text", "image", "audio"):
            raise JobError(f"search: found {kind}, expected text, image, audio or id")
    inputs = [Input(kind, value) for kind, values in several.items() for value in values]  # type: ignore[arg-type]
    return Query(inputs=tuple(inputs), ids=ids, weights=weights, count=count, where=where)


class Hit(msgspec.Struct, frozen=True):
    """A row that was found. `score`: the cosine of the angle between the vectors, at most 1. `row`: the columns of
    `results` that are the row's own, and `source`."""

    id: str
    score: float
    row: dict[str, Any]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that were found, the nearest first.

    `asked`: the query in words; of a path or URL, the name of the file. `rows`: how many were searched. `sent`: inputs
    of the query that were sent to the service; `cost`: what they cost, None if that is not known. `notes`: what a
    person should know.
    """

    asked: str
    hits: tuple[Hit, ...]
    rows: int
    sent: int = 0
    cost: float | None = None
    currency: str | None = None
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return lines_html(lines(self))


def lines(found: Found) -> Iterator[str]:
    """Yields the rows that were found, for people."""
    for hit in found.hits:
        own = "  ".join(
            f"{name}={_said(value)}" for name, value in hit.row.items() if name != "source" and value is not None
        )
        yield one_line(f"{hit.score:6.3f}  {hit.id}  {own}".rstrip())
    yield from facts_of(found)


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def facts_of(found: Found) -> Iterator[str]:
    """Yields what a person should know beside the rows."""
    price = "" if found.cost is None else f" for {money(found.cost, found.currency)}"
    bought = f"; {count(found.sent, 'input')} embedded{price}" if found.sent else ""
    yield f"{count(found.rows, 'row')} searched{bought}"
    yield from (f"note: {note}" for note in found.notes)


def _words(query: Query) -> str:
    names = [one.value if one.kind == "text" else Path(one.value.partition("?")[0]).name for one in query.inputs]
    return " + ".join((*names, *query.ids))[:200]


class Searcher:
    """Searches one output again and again. It sees the rows that were there when it was made.

    Raises JobError for a task without vectors and for an output that has none yet, and StoreError for a damaged part.
    """

    def __init__(self, spec: LoadedJob) -> None:
        if not facts(spec.job.task).embeds:
            raise spec.fail(f"task {spec.job.task} makes no vectors; search is for jobs with task embed")
        loaded = index.load(spec.output, spec.job.task, layout.SIZES[layout.LAYOUT] if spec.offline else ())
        if loaded is None:
            raise spec.fail(f"{spec.output} has no vectors yet: run the job first")
        self._spec = spec
        self.index: Index = loaded
        self._connection = connect(spec)
        self._rows = read.query(self._connection, "select id, seq from results").to_arrow_table()
        self._shown = self._among(self._rows)
        ours = {*column_names(OUTCOME_COLUMNS), "embedding"} - {"id", "seq", "source"}
        known = self._connection.sql("select * from results limit 0").columns
        self._columns = [name for name in known if name not in ours]

    @property
    def current(self) -> bool:
        """Tells whether the output has the same parts as when this searcher was made."""
        folder = Layout(self._spec.output).dataset("results")
        return [part.path for part in live_parts(all_parts(folder))] == self.index.paths

    async def search(self, query: Query) -> Found:
        """Returns the nearest rows. Raises JobError, QueryError (in `where`), and the same errors as `embed`."""
        self._check(query)
        embedded = await embed(self._spec, query.inputs) if query.inputs else None
        vector, maker, own = self._vector(query, embedded)
        among = self._shown if query.where is None else self._among(self._picked(query.where))
        comparable = self.index.maker == (self.index.makers.index(maker) if maker in self.index.makers else -2)
        left_out = int((among & ~comparable).sum())
        among = among & comparable
        near = self.index.nearest(vector, query.count + len(own), among)
        hits = [hit for hit in self._hits(near) if hit.id not in own][: query.count]
        notes = list(self.index.notes)
        if left_out:
            notes.append(
                f"{count(left_out, 'row')} left out: their vectors were not made by {maker}; run the job again"
            )
        sent = {} if embedded is None else {"sent": embedded.sent, "cost": embedded.cost, "currency": embedded.currency}
        return Found(asked=_words(query), hits=tuple(hits), rows=int(among.sum()), notes=tuple(notes), **sent)  # type: ignore[arg-type]

    def _check(self, query: Query) -> None:
        if not query.inputs and not query.ids:
            raise JobError("search needs a text, --image, --audio or --id")
        for kind, weight in query.weights.items():
            if kind not in ("text", "image", "audio", "id") or not 0 < weight < float("inf"):
                raise JobError(f"--weight {kind}={weight:g}: expected text, image, audio or id, and a number above 0")

    def _vector(self, query: Query, embedded: Embedded | None) -> tuple[Array, str, Sequence[str]]:
        """Returns (the query's vector, its maker, the ids that are not hits)."""
        import numpy as np

        vectors: list[Any] = [] if embedded is None else list(embedded.vectors)
        kinds: list[str] = [one.kind for one in query.inputs] + ["id"] * len(query.ids)
        makers = set() if embedded is None else {embedded.maker}
        for id_ in query.ids:
            vector, maker = self._row(id_)
            vectors.append(vector)
            makers.add(maker)
        if len(makers) > 1:
            raise JobError(f"vectors of different makers are not comparable: {'; '.join(sorted(makers))}")
        if any(len(vector) != self.index.dimension for vector in vectors):
            raise self._spec.fail(
                f"the query has {len(vectors[0])} numbers, the rows have {self.index.dimension}: run the job again"
            )
        total = np.zeros(self.index.dimension, np.float32)
        for kind, vector in zip(kinds, vectors, strict=True):
            total += query.weights.get(kind, 1.0) * vector / max(float(np.linalg.norm(vector)), 1e-30)
        return total, makers.pop(), query.ids

    def _row(self, id_: str) -> tuple[Array, str]:
        import numpy as np

        place = self._rows.column("id").index(id_).as_py()
        seq = None if place < 0 else self._rows.column("seq")[place].as_py()
        rows = (
            np.flatnonzero((self.index.seq == seq) & (self.index.maker >= 0)) if seq is not None else np.zeros(0, int)
        )
        if not len(rows):
            raise self._spec.fail(f"--id {id_}: results has no vector under this id")
        return self.index.exact(rows[:1])[0], self.index.makers[self.index.maker[rows[0]]]

    def _picked(self, where: str) -> pa.Table:
        """Returns the `seq` of the rows of `results` that the condition picks. Raises QueryError."""
        sql = f"select seq from results where ({where}\n)"
        connection = connect(self._spec)
        read.read_only(connection, sql)
        return read.query(connection, sql).to_arrow_table()

    def _among(self, rows: pa.Table) -> Array:
        """Returns which rows of the index are among `rows` (column `seq`); bool."""
        import numpy as np

        return np.isin(self.index.seq, rows.column("seq").to_numpy())

    def _hits(self, near: Near) -> list[Hit]:
        """Returns the rows with their own columns, read from the parts that hold the rows alone."""
        folder = Layout(self._spec.output).dataset("results")
        files = [str(folder / SCHEMA_PART), *map(str, self.index.parts_of(near.seq))]
        # The part without rows comes first: it has every column with its type, as in the views.
        listed = ", ".join(f"'{literal(escaped(file))}'" for file in files)
        kept = ", ".join(quoted(name) for name in self._columns)
        sql = f"select {kept} from read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
        relation = read.query(self._connection, f"{sql} where seq in ({', '.join(map(str, near.seq.tolist())) or 0})")
        rows = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
        by_seq = {row.pop("seq"): row for row in rows}
        pairs = zip(near.seq.tolist(), near.scores.tolist(), strict=True)
        return [Hit(by_seq[seq].pop("id"), round(score, 6), by_seq[seq]) for seq, score in pairs if seq in by_seq]


def text_search(spec: LoadedJob) -> Callable[[str, int], list[tuple[str, float]]]:
    """Returns a function that finds the rows nearest to a text, for threads that run no event loop.

    It takes the text and a number k, and returns the k nearest rows as (id, score). It sees rows of later runs too. It
    raises PipelineError.
    """
    import anyio

    lock = threading.Lock()
    kept: list[Searcher] = []

    def search(text: str, count: int) -> list[tuple[str, float]]:
        with lock:  # one connection to DuckDB, and one run that embeds
            if not kept or not kept[0].current:
                kept[:] = [Searcher(spec)]
            query = Query(inputs=(Input("text", text),), count=count)
            found = anyio.run(kept[0].search, query, backend="asyncio")
        return [(hit.id, hit.score) for hit in found.hits]

    return search
