"""`python -m workers.draw MODEL TASK PARAMS FOLDER [IMAGE...]`: draws in this process, without server or queue.

Prints the names of the files; exit codes 0 done, 1 failed, 2 used wrongly.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.checkpoints import service as checkpoints
from app.errors import DomainError, Invalid
from app.generations.service import fitting
from app.logs import configure_logging
from app.media.pixels import on_white, read_upload
from app.media.provenance import png_with_provenance, told
from app.settings import get_settings
from models.checkpoint import CheckpointError
from models.contract.files import write_atomically
from models.contract.sampling import Request
from workers import model_cache
from workers.provenance import provenance


def draw(model: str, task: str, params: dict[str, Any], folder: Path, images: list[Path]) -> Iterator[Path]:
    """Write `count` PNG files with provenance into `folder`; yields their paths.

    Raises DomainError (no such model or task, parameters or pictures that do not fit) or CheckpointError.
    """
    found = checkpoints.get(model)
    _, checked = fitting(found, task, params, len(images))
    files = [path.read_bytes() for path in images]
    given = [np.asarray(on_white(read_upload(file)[0]), dtype=np.uint8) for file in files]
    if checked.seed is None:
        checked.seed = secrets.randbelow(2**32)
    sampler = model_cache.sampler(found.name, found.sha256)
    requests = [Request(task, checked, checked.seed + i, given, i) for i in range(checked.count)]
    folder.mkdir(parents=True, exist_ok=True)
    for request, output in zip(requests, sampler.sample(requests, lambda step, total, previews: None), strict=True):
        picture = Image.fromarray(output.pixels)
        made = provenance(
            model=model,
            task=task,
            checkpoint_sha256=found.sha256,
            params=checked.model_dump(mode="json"),
            inputs={"images": [{"sha256": digest_of(file)} for file in files]} if files else {},
            index=request.index,
            picture=picture,
            metadata=output.metadata,
        )
        path = folder / f"{model}-{request.seed}.png"
        write_atomically(path, png_with_provenance(picture, made))
        yield path


def digest_of(file: bytes) -> str:
    """SHA-256 by which a studio knows it: a work of its own as it is, anything else as it keeps an upload."""
    try:
        told(file)
    except Invalid:
        file = read_upload(file)[0]
    return hashlib.sha256(file).hexdigest()


def main(model: str, task: str, params: str, folder: str, *images: str) -> int:
    configure_logging(get_settings().log_format)  # to stderr: stdout is for results
    try:
        for path in draw(model, task, json.loads(params), Path(folder), [Path(image) for image in images]):
            print(path, flush=True)
    except DomainError as error:
        print(error.in_full, file=sys.stderr)
        return 2 if isinstance(error, Invalid) else 1
    except (CheckpointError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
