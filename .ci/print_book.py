"""Print a built book into one PDF, in the order of its contents, with bookmarks and with links that stay inside.

python .ci/print_book.py _build/html _build/book.pdf
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from browser import LOAD_ALL, TYPESET, Browser, map_pages, running
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import Fit

TOC = Path(__file__).parents[1] / "_toc.yml"
PAPER = {"paperWidth": 8.27, "paperHeight": 11.69, "marginTop": 0.6, "marginBottom": 0.6, "printBackground": False}
BARE = """document.documentElement.dataset.theme = document.documentElement.dataset.mode = "light";
document.querySelectorAll("details").forEach((node) => { node.open = true; });
document.querySelectorAll(".prev-next-footer, .bd-header-article").forEach((node) => node.remove());"""


def contents(toc: dict) -> list[tuple[str | None, str]]:
    """Every page with the part it belongs to."""
    parts = [(part["caption"], chapter["file"]) for part in toc["parts"] for chapter in part["chapters"]]
    return [(None, toc["root"]), *parts]


def printed(browser: Browser, page: Path) -> tuple[str, PdfReader]:
    """The title of a page, and the page on paper."""
    browser.events.clear()
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.call("Page.enable", session)
    browser.call("Page.navigate", session, url=page.as_uri())
    browser.wait_for("Page.loadEventFired")
    for script in (LOAD_ALL, TYPESET, BARE):
        browser.call("Runtime.evaluate", session, expression=script, awaitPromise=True)
    title = browser.call(
        "Runtime.evaluate", session, expression="document.querySelector('h1').innerText.replace('#', '')"
    )
    pdf = browser.call("Page.printToPDF", session, **PAPER)["data"]
    browser.call("Target.closeTarget", targetId=target)
    return title["result"]["value"].strip(), PdfReader(io.BytesIO(base64.b64decode(pdf)))


def bind(root: Path, browsers: list[Browser]) -> PdfWriter:
    """All pages in one document."""
    book, first, caption, part = PdfWriter(), {}, None, None
    chapters = contents(yaml.safe_load(TOC.read_text(encoding="utf-8")))
    pages = [(root / name).with_suffix(".html") for _, name in chapters]
    for (heading, _), page, (title, leaves) in zip(chapters, pages, map_pages(printed, pages, browsers)):
        first[page] = len(book.pages)
        for leaf in leaves.pages:
            book.add_page(leaf)
        if heading != caption:
            caption, part = heading, book.add_outline_item(heading, first[page])
        book.add_outline_item(title, first[page], parent=part)
        print(f"{len(book.pages):4d} pages, {title}", file=sys.stderr)
    for number, leaf in enumerate(book.pages):
        for annotation in leaf.annotations or ():
            link = annotation.get_object()
            address = urlsplit(link.get("/A", {}).get("/URI", ""))
            if address.scheme == "file":
                link.pop("/A")
                target = first.get(Path(unquote(address.path)))
                if target is not None:
                    book.add_annotation(number, Link(rect=link["/Rect"], target_page_index=target, fit=Fit.fit()))
    return book


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("pdf", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profiles, running(profiles) as browsers:
        book = bind(arguments.folder.resolve(), browsers)
    book.compress_identical_objects()
    book.write(arguments.pdf)


if __name__ == "__main__":
    main()
