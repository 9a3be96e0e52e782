"""Headless Chromium on pages of the tests: what it says, what it asks for, and what an accessibility check finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

WIDTH = 1280
PHONE = 360


class Browser:
    """A browser that runs. Use as a context manager."""

    def __enter__(self) -> Browser:
        from playwright.sync_api import sync_playwright

        path = shutil.which("chromium")
        assert path is not None, "apt-get install chromium"
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        return self

    def __exit__(self, *_: object) -> None:
        self._chromium.close()
        self._playwright.stop()

    @contextmanager
    def page(self, url: str, *, width: int = WIDTH, theme: Any = "light") -> Iterator[Any]:
        """A page in a profile of its own. At the end, it has said nothing on its console, and asked for nothing but
        itself and, where it is served, its own server."""
        said: list[str] = []
        asked: list[str] = []
        context = self._chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.goto(url)
        yield page
        context.close()
        assert said == []
        own = url.rsplit("/", 1)[0] + "/"
        assert [address for address in asked if not address.startswith((own, "data:"))] == []
        if url.startswith("file:"):
            assert {address for address in asked if not address.startswith("data:")} == {url}


def accessibility(page: Any) -> list[str]:
    """What axe-core (the rules of WCAG 2.2 A and AA, and its best practices) finds wrong, in words."""
    script = (files("axe_core_python") / "axe.min.js").read_text("utf-8")
    # Over the protocol, past the page's policy, as the page itself may run no other script.
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": script})
    found = session.send(
        "Runtime.evaluate",
        {"expression": "axe.run().then(JSON.stringify)", "awaitPromise": True, "returnByValue": True},
    )
    assert "exceptionDetails" not in found, found
    violations = json.loads(found["result"]["value"])["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in violations
        for node in violation["nodes"][:3]
    ]


def expect(locator: Any) -> Any:
    """Playwright's assertions, which wait. Imported when it is used: tests without a browser need no Playwright."""
    from playwright.sync_api import expect as waiting

    return waiting(locator)


def is_wider_than_its_window(page: Any) -> bool:
    found: bool = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return found
