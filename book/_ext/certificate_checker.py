"""The directive `{certificate-checker}`: pick or paste a certificate, change it, see it accepted or refused.

All committed certificates travel with the page as one script, so that it works from a folder, without a server.
"""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

STORE = Path(__file__).parents[2] / "ngdsym" / "theorems" / "certificates.jsonl"
SCRIPTS = ("certificate/checker.js", "certificate/all.js", "certificate/page.js")


def committed() -> dict[str, dict]:
    """Every committed certificate by theorem; a schema has one for each depth."""
    found = {}
    for line in STORE.read_text(encoding="utf-8").splitlines():
        ((theorem, certificates),) = json.loads(line).items()
        for depth, data in certificates.items():
            found[f"{theorem}, L = {depth}" if depth else theorem] = data
    return found


class CertificateChecker(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.metadata[self.env.docname]["certificate-checker"] = "yes"
        self.env.note_dependency(str(STORE))
        return [nodes.raw("", '<div id="certificate-checker"></div>', format="html")]


def add_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if "certificate-checker" in app.env.metadata.get(page, {}):
        for script in SCRIPTS:
            app.add_js_file(script, loading_method="defer")
        app.add_css_file("certificate/page.css")


def write_certificates(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        text = json.dumps(committed(), ensure_ascii=False, separators=(",", ":"))
        target = Path(app.outdir, "_static", "certificate", "all.js")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"globalThis.ngdCertificates.all = {text};\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("certificate-checker", CertificateChecker)
    app.connect("html-page-context", add_scripts)
    app.connect("builder-inited", lambda app: write_certificates(app, None))
    app.connect("build-finished", write_certificates)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
