"""The paths in a query, made those of the job's folder.

DuckDB looks into the working folder first, where another file of the same name may lie; so the query is taken apart by
DuckDB itself, and the names of files in it are written out.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import duckdb

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_FILE = re.compile(r"[./*?]")
"""What the name of a table has only if it is a file's."""
_NO_FILES = frozenset(
    {"range", "generate_series", "unnest", "repeat", "repeat_row", "query", "query_table", "json_each", "json_tree"}
)
"""Functions that give tables and whose first text is no path."""


def absolute(query: str, folder: str, connection: duckdb.DuckDBPyConnection) -> str:
    """The query with relative names of files below `folder`; as it is where it names none, or cannot be taken apart.

    Raises ValueError for a name that is left and that DuckDB would find in the working folder instead.
    """
    tree = _parsed(query, connection)
    if tree is not None and not tree.get("error") and _Names(folder, tree).changed:
        text = msgspec.json.encode(tree).decode()
        query = str(_one(connection, "select json_deserialize_sql(?::json)", text))
    _refuse_strays(query, folder)
    return query


def _refuse_strays(query: str, folder: str) -> None:
    here = os.getcwd()  # noqa: PTH109 - a text
    names = re.findall(r"'((?:[^']|'')+)'", query) if here != folder else []
    for name in names:
        if _is_relative(name) and _FILE.search(name) and os.path.isfile(f"{here}/{name}"):  # noqa: PTH113 - a text
            raise ValueError(f"{name!r} is a file of the working folder {here}; write its whole path")


def _parsed(query: str, connection: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    found = _one(connection, "select json_serialize_sql(?)", query)
    return None if found is None else msgspec.json.decode(found)


def _one(connection: duckdb.DuckDBPyConnection, query: str, parameter: str) -> Any:
    return connection.execute(query, [parameter]).fetchall()[0][0]


class _Names:
    """Writes out the names of files in a syntax tree; `changed`: whether there were any."""

    def __init__(self, folder: str, tree: dict[str, Any]) -> None:
        self._folder = folder
        self._own = frozenset(_tables_of(tree))
        self.changed = False
        self._walk(tree)

    def _walk(self, node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                self._walk(item)
        elif isinstance(node, dict):
            if node.get("type") == "BASE_TABLE" and not node.get("schema_name"):
                self._table(node)
            elif node.get("type") == "TABLE_FUNCTION":
                self._function(node.get("function") or {})
            for item in node.values():
                self._walk(item)

    def _table(self, node: dict[str, Any]) -> None:
        name = node.get("table_name")
        if isinstance(name, str) and name not in self._own and _FILE.search(name):
            node["table_name"] = self._written_out(name)
            if (node.get("qualified_name") or {}).get("path") == [name]:  # DuckDB 2
                node["qualified_name"]["path"] = [node["table_name"]]

    def _function(self, node: dict[str, Any]) -> None:
        if node.get("function_name") not in _NO_FILES:
            for argument in _arguments(node)[:1]:
                self._texts(argument)

    def _texts(self, node: dict[str, Any]) -> None:
        """A text, or a list of them."""
        if node.get("type") == "VALUE_CONSTANT":
            one = node.get("value") or {}
            if (one.get("type") or {}).get("id") == "VARCHAR" and isinstance(one.get("value"), str):
                one["value"] = self._written_out(one["value"])
            other = node.get("literal") or {}  # DuckDB 2
            if other.get("kind") == "STRING":
                other["text"] = self._written_out(other["text"])
        elif node.get("function_name") == "list_value":
            for item in _arguments(node):
                self._texts(item)

    def _written_out(self, name: str) -> str:
        if not _is_relative(name):
            return name
        self.changed = True
        return os.path.normpath(f"{self._folder}/{name}")


def _is_relative(name: str) -> bool:
    return bool(name) and not name.startswith(("/", "~")) and _SCHEME.match(name) is None


def _arguments(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The arguments of a function without a name, as DuckDB 1 and 2 write them."""
    named = [one["expression"] for one in node.get("arguments") or [] if not one.get("name")]
    return named or list(node.get("children") or [])


def _tables_of(node: Any) -> list[str]:
    """The names that the query itself gives to tables (`with name as …`)."""
    if isinstance(node, list):
        return [name for item in node for name in _tables_of(item)]
    if not isinstance(node, dict):
        return []
    entries = node.get("cte_map", {}).get("map", []) if isinstance(node.get("cte_map"), dict) else []
    own = [str(entry["key"]) for entry in entries if isinstance(entry, dict) and "key" in entry]
    return own + [name for item in node.values() for name in _tables_of(item)]
