"""Certificates in a file: a line for each theorem, read whole or not at all."""
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ngdsym.proof.certificate import Certificate


def read_certificates(path: Path, theorem: str, depths: Iterable[str]) -> dict[str, Certificate]:
    """The proofs of a theorem, by the depth of the network that each is for: none, or one for each of `depths`.

    Raises
    ------
    ValueError
        Its line holds no certificates, lacks one or has another, or one of them does not check; the message names it.
    """
    line = _lines(path).get(theorem)
    if line is None:
        return {}
    try:
        content = json.loads(line)[theorem]
    except (ValueError, KeyError) as error:
        raise ValueError(_refusal(path, theorem, f"the line is no JSON ({error})")) from error
    if not isinstance(content, dict) or set(content) != set(depths):
        raise ValueError(_refusal(path, theorem, f"it must have an entry for each of {', '.join(map(repr, depths))}"))
    found = {depth: Certificate(data) for depth, data in content.items()}
    for depth, certificate in found.items():
        if reason := certificate.refusal():
            raise ValueError(_refusal(path, theorem, f"the entry {depth!r} does not check ({reason})"))
    return found


def write_certificates(path: Path, theorem: str, certificates: Mapping[str, Certificate]) -> None:
    """Put them in the place of those that the file has, whose other lines stay."""
    content = {theorem: {depth: certificate.data for depth, certificate in certificates.items()}}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
    lines = _lines(path) | {theorem: text.encode()}
    temporary = Path(f"{path}.{os.getpid()}")
    temporary.write_bytes(b"".join(line for _, line in sorted(lines.items())))
    temporary.replace(path)


def _lines(path: Path) -> dict[str, bytes]:
    """Each line by the theorem that it begins with; none of a file that is not there."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {line.split(b'"', 2)[1].decode(errors="replace"): line for line in file if line.startswith(b'{"')}


def _refusal(path: Path, theorem: str, reason: str) -> str:
    return (f"{path} holds no certificates of {theorem}: {reason}. Restore the file, or delete the line and run "
            f"python -m ngdsym verify {theorem} --search --write")
