"""Run the book's notebooks and store their outputs in the form that is committed.

    python book/_ext/refresh.py [NOTEBOOK...]

Text is stored, and nbval compares it. Pictures, and the outputs of cells tagged ``nbval-ignore-output``
(timings, versions), are not: running this again without a change of result leaves no difference.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import warm_kernels
from nbclient import NotebookClient

BOOK = Path(__file__).resolve().parents[1]
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def refresh(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=3600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # lines printed in one go or in several are the same
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [] if "nbval-ignore-output" in cell.metadata.get("tags", []) else cell.outputs
            for output in cell.outputs:
                keep_text(output)
    text = nbformat.writes(notebook, indent=1) + "\n"
    same = text == path.read_text(encoding="utf-8")
    if not same:
        path.write_text(text, encoding="utf-8")
    print("unchanged" if same else "rewritten", path)


def keep_text(output: nbformat.NotebookNode) -> None:
    if "data" in output:
        output.data = {kind: value for kind, value in output.data.items() if not kind.startswith("image/")}
        output.metadata = {}


if __name__ == "__main__":
    warm_kernels.use()
    for name in sys.argv[1:] or sorted(BOOK.glob("*.ipynb")):
        refresh(Path(name))
