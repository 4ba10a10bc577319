"""Certificates in files, read whole or not at all."""
from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ngdsym.proof.certificate import Certificate


def read_certificates(path: Path, depths: Iterable[str]) -> dict[str, Certificate]:
    """The proofs in a file, by the depth of the network that each is for, one for each of `depths`.

    Raises
    ------
    ValueError
        It is no file of certificates, lacks one or has another, or one of them does not check; the message names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(_refusal(path, f"it is no JSON ({error})")) from error
    if not isinstance(content, dict) or set(content) != set(depths):
        raise ValueError(_refusal(path, f"it must have an entry for each of {', '.join(map(repr, depths))}"))
    found = {depth: Certificate(data) for depth, data in content.items()}
    for depth, certificate in found.items():
        if reason := certificate.refusal():
            raise ValueError(_refusal(path, f"the entry {depth!r} does not check ({reason})"))
    return found


def _refusal(path: Path, reason: str) -> str:
    return (f"{path} holds no certificates: {reason}. Restore it, or delete it and run "
            f"python -m ngdsym verify {path.stem} --search --write")
