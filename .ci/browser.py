"""Headless Chromium that can reach no host, driven through its debugging pipe.

Commands go in on file descriptor 3 and answers come out on 4, each ended by a zero byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Page, Found = TypeVar("Page"), TypeVar("Found")
PATIENCE = 600  # seconds: a busy machine is slow, only one that hangs is wrong
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "--disable-features=OptimizationHints,OptimizationGuideModelDownloading,MediaRouter",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--allow-file-access-from-files",
]
LOAD_ALL = "document.querySelectorAll('[loading=lazy]').forEach((node) => { node.loading = 'eager'; })"
TYPESET = "window.MathJax?.startup?.promise?.then(() => true) ?? true"


class Browser:
    """Chromium at the other end of two pipes."""

    def __init__(self, executable: str, profile: str) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        command = 'in=$1 out=$2; shift 2; exec "$@" 3<&"$in" 4>&"$out"'
        self.process = subprocess.Popen(
            [
                "bash",
                "-c",
                command,
                "bash",
                str(to_browser),
                str(from_browser),
                executable,
                *FLAGS,
                f"--user-data-dir={profile}",
                f"--log-net-log={profile}/net.json",
                "about:blank",
            ],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._last = b"", 0
        self.events: list[dict] = []

    def call(self, method: str, session: str | None = None, timeout: float = PATIENCE, **params: object) -> dict:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda reply: reply.get("id") == self._last, timeout, method)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def wait_for(self, event: str, timeout: float = PATIENCE) -> None:
        if not any(seen["method"] == event for seen in self.events):
            self._until(lambda reply: reply.get("method") == event, timeout, event)

    def drain(self, seconds: float) -> None:
        """Collect the events of the next `seconds`."""
        try:
            self._until(lambda reply: False, seconds, "")
        except TimeoutError:
            pass

    def _until(self, wanted, timeout: float, what: str) -> dict:
        deadline = time.monotonic() + timeout
        while True:
            while b"\0" in self._buffer:
                raw, self._buffer = self._buffer.split(b"\0", 1)
                reply = json.loads(raw)
                if "method" in reply:
                    self.events.append(reply)
                if wanted(reply):
                    return reply
            if not select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium did not answer: {what}")
            chunk = os.read(self._in, 1 << 20)
            if not chunk:
                raise RuntimeError("Chromium ended unexpectedly")
            self._buffer += chunk

    def close(self) -> None:
        self.call("Browser.close")
        self.process.wait(timeout=PATIENCE)


@contextlib.contextmanager
def running(profiles: str) -> Iterator[list[Browser]]:
    """A browser for each core, with profiles in the folders 0, 1, ... of `profiles`."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        sys.exit("Chromium is not installed")
    browsers = []
    for k in range(len(os.sched_getaffinity(0))):
        Path(profiles, str(k)).mkdir()
        browsers.append(Browser(executable, f"{profiles}/{k}"))
    yield browsers
    for browser in browsers:
        browser.close()


def map_pages(
    work: Callable[[Browser, Page], Found], pages: Iterable[Page], browsers: list[Browser]
) -> Iterator[Found]:
    """What `work` finds on each page, in their order; the browsers take pages at the same time."""
    free: queue.SimpleQueue[Browser] = queue.SimpleQueue()
    for browser in browsers:
        free.put(browser)

    def one(page: Page) -> Found:
        browser = free.get()
        try:
            return work(browser, page)
        finally:
            free.put(browser)

    with ThreadPoolExecutor(len(browsers)) as pool:
        yield from pool.map(one, pages)
