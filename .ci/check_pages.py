"""Open every page of a built book in headless Chromium that can reach no host, and report what goes wrong.

    python .ci/check_pages.py _build/html [--shots FOLDER]

A page fails on a request that leaves it, a formula MathJax refuses or leaves untypeset, a script error, a local link or
picture that leads nowhere, a certificate judged wrongly, or a body wider than a phone. A page of the book itself fails
also on anything that axe-core finds against WCAG 2 AA, light or dark: contrast, names of links and pictures, what the
keyboard reaches.
"""

from __future__ import annotations

import argparse
import base64
import re
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from browser import LOAD_ALL, TYPESET, Browser, map_pages, running

OWN_HOSTS = (
    "accounts.google.com",
    "android.clients.google.com",
    "clients2.google.com",
    "update.googleapis.com",
)  # asked by Chromium itself
OWN_QUESTION = "https://www.google.com/async/folae?"  # by recent versions of it
THEME = "document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{}'"
SCREENS = {"wide": (1280, 900), "phone": (390, 844)}
AT_ONCE = "document.head.insertAdjacentHTML('beforeend', '<style>* { transition: none !important }</style>')"
INSPECT = r"""(() => {
  const all = (query) => [...document.querySelectorAll(query)];
  const rawTex = () => {
    const walker = document.createTreeWalker(document.querySelector("article") ?? document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode())
      if (!walker.currentNode.parentElement.closest("code, pre, script, style, mjx-container, .math")
          && /\$[^$\n]+\$|\\[a-zA-Z(\[]/.test(walker.currentNode.data)) found.push(walker.currentNode.data.trim());
    return found;
  };
  const formulas = all(".math").filter((node) => /\\[([]/.test(node.textContent));
  return {
    refused: all("mjx-merror, [data-mjx-error]").map((n) => n.getAttribute("data-mjx-error") || n.textContent),
    untypeset: formulas.filter((n) => !n.querySelector("mjx-container")).map((n) => n.textContent.trim()),
    broken: all("img").filter((n) => n.complete && !n.naturalWidth && n.getAttribute("src")).map((n) => n.src),
    nameless: all("article img:not([alt]), article img[alt='']").map((n) => n.src),
    hints: all("link[rel~=preconnect], link[rel~=dns-prefetch], link[rel~=prefetch]").map((n) => n.href),
    links: all("a[href]").map((n) => n.href),
    raw: rawTex(),
    misjudged: window.ngdCertificates?.selfTest(ngdCertificates.all) ?? [],
    typeset: all("mjx-container").length,
  };
})()"""
AXE = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
# not looked at: formulas, what a terminal prints in colours of its own; nor roles and names of parts by docutils and
# sphinx-exercise
ACCESS = """axe.run({include: [["body"]], exclude: [["mjx-container"], ["div.cell_output pre"]]}, {
  runOnly: ["wcag2a", "wcag2aa"],
  rules: Object.fromEntries(
    ["aria-roles", "aria-required-children", "duplicate-id"].map((rule) => [rule, {enabled: false}])),
}).then((found) =>
  found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 120)}`)))"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Inspected(NamedTuple):
    """What is wrong with a page, what it links to, how many formulas it has, which hosts it asked."""

    wrong: list[str]
    links: list[str]
    formulas: int
    reported: set[str]


def inspect(browser: Browser, page: Path, shots: Path | None) -> Inspected:
    browser.events.clear()
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def evaluate(script: str) -> object:
        return browser.call("Runtime.evaluate", session, expression=script, awaitPromise=True, returnByValue=True)[
            "result"
        ].get("value")

    browser.call("Target.setAutoAttach", session, autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
    for domain in ("Page", "Network", "Runtime", "Log"):
        browser.call(f"{domain}.enable", session)
    width, height = SCREENS["wide"]
    browser.call(
        "Emulation.setDeviceMetricsOverride", session, width=width, height=height, deviceScaleFactor=1, mobile=False
    )
    browser.call("Page.navigate", session, url=page.as_uri())
    browser.wait_for("Page.loadEventFired")
    evaluate(LOAD_ALL)
    evaluate(TYPESET)
    browser.drain(0.3)
    found = evaluate(INSPECT)
    wrong = [f"request to {url}" for url in sorted(outside(browser.events, found["hints"]))]
    wrong += [f"script error: {text}" for text in script_errors(browser.events)]
    for kind in ("refused", "untypeset", "raw", "misjudged", "broken", "nameless"):
        wrong += [f"{kind}: {item}" for item in found[kind]]
    evaluate(AT_ONCE)
    if page.parent.name == "book":
        evaluate(AXE)
    for theme in ("light", "dark") if page.parent.name == "book" else ():
        evaluate(THEME.format(theme))
        browser.drain(0.1)
        wrong += [f"{theme}, {problem}" for problem in evaluate(ACCESS)]
    for screen, (width, height) in SCREENS.items():
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=screen == "phone",
        )
        browser.drain(0.8 if shots else 0.1)
        if (excess := evaluate(OVERFLOW)) > 0:
            wrong.append(f"{excess} pixels wider than the {screen} screen")
        for theme in ("light", "dark") if shots else ():
            evaluate(THEME.format(theme))
            browser.drain(0.4)
            picture = browser.call(
                "Page.captureScreenshot",
                session,
                captureBeyondViewport=True,
                clip={
                    "x": 0,
                    "y": 0,
                    "width": width,
                    "scale": 1,
                    "height": min(16000, evaluate("document.documentElement.scrollHeight")),
                },
            )
            (shots / f"{page.stem}-{screen}-{theme}.png").write_bytes(base64.b64decode(picture["data"]))
    browser.call("Target.closeTarget", targetId=target)
    return Inspected(wrong, found["links"], found["typeset"], outside(browser.events, []))


def outside(events: list[dict], hints: list[str]) -> set[str]:
    urls = {event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"}
    urls |= {event["params"]["url"] for event in events if event["method"] == "Network.webSocketCreated"}
    return {url for url in urls | set(hints) if urlsplit(url).scheme not in ("file", "data", "blob", "about")}


def requests_in_log(log: Path) -> set[str]:
    """Return every address Chromium was asked for, workers and frames of other origins included."""
    urls = set(re.findall(r'"url":"((?:https?|wss?)://[^"]+)"', log.read_text(encoding="utf-8")))
    return {url for url in urls if urlsplit(url).hostname not in OWN_HOSTS and not url.startswith(OWN_QUESTION)}


def script_errors(events: list[dict]) -> list[str]:
    errors = []
    for event in events:
        params = event["params"]
        if event["method"] == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            errors.append(details.get("exception", {}).get("description") or details["text"])
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            errors.append(" ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"]))
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
    return errors


def redirects(page: Path) -> bool:
    """Whether a page is nothing but the way to another one."""
    text = page.read_text(encoding="utf-8").strip()
    return text.startswith('<meta http-equiv="Refresh"') and text.count("<") == 1


def dead_links(page: Path, links: list[str], anchors: dict[Path, str]) -> list[str]:
    dead = []
    for link in sorted(set(links)):
        parts = urlsplit(link)
        if parts.scheme != "file":
            continue
        path, anchor = Path(unquote(parts.path)), unquote(parts.fragment)
        if not path.is_file():
            dead.append(f"dead link: {link}")
        elif anchor and path.suffix == ".html":
            text = anchors.setdefault(path, path.read_text(encoding="utf-8"))
            if f'id="{anchor}"' not in text and f'name="{anchor}"' not in text:
                dead.append(f"dead anchor: {link}")
    return dead


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shots", type=Path, help="also write a picture of every page, screen and theme here")
    arguments = parser.parse_args()
    root = arguments.folder.resolve()
    pages = [page for page in sorted(root.rglob("*.html")) if "_static" not in page.parts and not redirects(page)]
    if not pages:
        sys.exit(f"no page below {root}")
    if arguments.shots:
        arguments.shots.mkdir(parents=True, exist_ok=True)
    failed, formulas, anchors, reported = 0, 0, {}, set()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profiles:
        with running(profiles) as browsers:
            all_found = map_pages(lambda browser, page: inspect(browser, page, arguments.shots), pages, browsers)
            for page, found in zip(pages, all_found):
                wrong = found.wrong + dead_links(page, found.links, anchors)
                formulas += found.formulas
                reported |= found.reported
                failed += bool(wrong)
                for problem in wrong:
                    print(f"{page.relative_to(root)}: {problem}", flush=True)
        logs = sorted(Path(profiles).glob("*/net.json"))
        hidden = set().union(*map(requests_in_log, logs)) - reported
    for url in sorted(hidden):
        print(f"some page, from a worker or a frame: request to {url}")
        failed += 1
    print(f"{len(pages)} pages, {formulas} formulas, {failed} pages with problems")
    return 1 if failed or not formulas else 0


if __name__ == "__main__":
    sys.exit(main())
