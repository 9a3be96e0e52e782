"""Serves the report of a job live, to a browser on this machine.

The server listens on 127.0.0.1 alone. Its address holds a secret, so that other users of the machine see nothing. The
header `Host` must name the loopback address: a page of a stranger whose name is made to point here is refused (DNS
rebinding), and so is a request that another site's page makes. A client names rows by number, never a file.
"""

from __future__ import annotations

import functools
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from pipeline.errors import JobError, PipelineError, QueryError
from pipeline.job.load import LoadedJob
from pipeline.report.page import filled, in_script, policy
from pipeline.run.output import connect
from pipeline.run.report import SCRIPT, page_head
from pipeline.run.report_near import Vectors
from pipeline.run.report_pictures import LARGE, SMALL, Picture, picture, pictures
from pipeline.run.report_query import FOUND_BY_MEANING, asked_of, find
from pipeline.run.report_rows import Fields, read_rows, sample
from pipeline.store.read import query, settle
from pipeline.tasks import facts

if TYPE_CHECKING:
    import duckdb

Search = Callable[[str, int], list[tuple[str, float]]]
"""A text and a number k → the k nearest rows as (id, score), the nearest first. Raises PipelineError."""

KEPT_PICTURES = 3_000
"""Thumbnails in memory, about 10 MB."""
LOOKED_AT = 20_000
"""Rows, taken evenly, by which filters are chosen, and among which neighbours are found."""


class Live:
    """The data of a live report. Each method may be called in any thread."""

    def __init__(self, spec: LoadedJob, search: Search | None = None) -> None:
        self.spec = spec
        self._search = search
        self._connection = self._settled()
        self._pictures: OrderedDict[tuple[str, ...], Picture] = OrderedDict()
        self._lock = threading.Lock()
        self._near_lock = threading.Lock()

    def page(self) -> bytes:
        """Returns the page with the figures of now. Raises PipelineError.

        Rows are those of now until the page is loaded again: a page of rows then follows the one before.
        """
        connection = self._settled()
        with self._lock:
            self._connection = connection
        cursor = connection.cursor()
        fields = Fields.of(cursor, self.spec)
        head = page_head(cursor, self.spec, fields, sample(cursor, LOOKED_AT))
        more = {"live": True, "search": self._search is not None, "rows": [], "near_among": LOOKED_AT}
        return filled(self.spec.shown, SCRIPT, {**head, **more}, live=True)

    def rows(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Returns the rows that the parameters of a URL ask for, with thumbnails, and their `total`."""
        cursor = self._cursor()
        fields = Fields.of(cursor, self.spec)
        asked, scores = asked_of(values), {}
        if self._search is not None and values.get("by") == "meaning" and asked.text.strip():
            scores = dict(self._search(asked.text, FOUND_BY_MEANING))
            asked = msgspec.structs.replace(asked, ids=list(scores))
        rows, total = find(cursor, fields, asked)
        for row in rows:
            if row["id"] in scores:
                row["score"] = round(float(scores[row["id"]]), 4)
        return {"rows": self._pictured(rows), "total": total}

    def near(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Returns the rows that are nearest to the row `seq`, and [[seq, cosine], …]."""
        if not facts(self.spec.job.task).embeds:
            raise QueryError(f"task {self.spec.job.task} makes no vectors")
        found = self._vectors.nearest_to(_number(values.get("seq")))
        cursor = self._cursor()
        rows = read_rows(cursor, Fields.of(cursor, self.spec), [seq for seq, _ in found], [])
        there = {row["seq"] for row in rows}
        return {"rows": self._pictured(rows), "near": [pair for pair in found if pair[0] in there]}

    def large(self, values: Mapping[str, str]) -> bytes | None:
        """Returns the larger picture of the row `seq` as WebP; None if there is none."""
        sql = "select source from {} where seq = $seq"
        seq = _number(values.get("seq"))
        found = query(
            self._cursor(), f"{sql.format('results')} union all {sql.format('failures')}", {"seq": seq}
        ).fetchall()
        made = picture(found[0][0] or (), (LARGE,), self.spec.job.media.dpi) if found else None
        return made.found.images[0] if made is not None and made.found is not None else None

    @functools.cached_property
    def _among(self) -> Vectors:
        cursor = self._cursor()
        return Vectors(cursor, sample(cursor, LOOKED_AT).answers)

    @property
    def _vectors(self) -> Vectors:
        with self._near_lock:
            return self._among

    def _settled(self) -> duckdb.DuckDBPyConnection:
        connection = connect(self.spec)
        settle(connection)
        return connection

    def _cursor(self) -> Any:
        with self._lock:
            return self._connection.cursor()

    def _pictured(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        keys = [tuple(row.get("source", ())) for row in rows]
        with self._lock:
            found = {key: self._pictures[key] for key in keys if key in self._pictures}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        made = dict(zip(missing, pictures(missing, (SMALL,), self.spec.job.media.dpi), strict=True))
        found |= made
        with self._lock:
            self._pictures.update(made)
            while len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return [{**row, **self._fields(found[key], row["seq"])} for row, key in zip(rows, keys, strict=True)]

    @staticmethod
    def _fields(one: Picture, seq: int) -> dict[str, Any]:
        fields = one.fields()
        return {**fields, "large": f"picture?seq={seq}"} if "small" in fields else fields


def _number(text: str | None) -> int:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise QueryError("seq is a whole number")
    return int(text)


class ReportServer(ThreadingHTTPServer):
    """The server. `url` is the address of the page. `serve_forever` blocks; `shutdown` from another thread ends it."""

    daemon_threads = True

    def __init__(self, live: Live, port: int = 0) -> None:
        """Listens on 127.0.0.1; port 0: any free port. Raises JobError if the port is taken."""
        self.live = live
        self.secret = secrets.token_urlsafe(16)
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError as error:
            raise JobError(f"--port {port}: {error.strerror}; leave the option out for any free port") from None
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{self.secret}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints the traceback of a bug. A client that went away before its answer is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers GET for the page, its rows, their neighbours and larger pictures; refuses everything else."""

    server: ReportServer
    server_version = "pipeline"
    sys_version = ""
    timeout = 30

    def parse_request(self) -> bool:
        """Refuses what is not a GET of this server's own page, whatever the method is called."""
        if not super().parse_request():
            return False
        if self.headers.get("Host") not in self.server.hosts:
            return self._refuse(HTTPStatus.FORBIDDEN, "the header Host names another server")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return self._refuse(HTTPStatus.FORBIDDEN, "the request comes from another site")
        if self.command != "GET":
            return self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is answered")
        return True

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        secret, slash, name = address.path.removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(secret.encode(), self.server.secret.encode()):
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
            return
        try:
            self._answer(name, dict(parse_qsl(address.query, keep_blank_values=True, max_num_fields=50)))
        except (QueryError, ValueError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except PipelineError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _answer(self, name: str, values: dict[str, str]) -> None:
        live = self.server.live
        if name == "":
            self._send(live.page(), "text/html; charset=utf-8")
        elif name in ("rows", "near"):
            found = live.rows(values) if name == "rows" else live.near(values)
            self._send(in_script(found).encode("utf-8", "replace"), "application/json")
        elif name == "picture" and (image := live.large(values)) is not None:
            self._send(image, "image/webp")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def _refuse(self, status: HTTPStatus, reason: str) -> bool:
        self.close_connection = True
        self._send(f"{reason}\n".encode("utf-8", "replace"), "text/plain; charset=utf-8", status)
        return False

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": f"{policy(SCRIPT, live=True)}; frame-ancestors 'none'",
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Logs nothing: the lines would hold the secret."""
