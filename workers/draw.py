"""`python -m workers.draw MODEL TASK SETTINGS FOLDER [ROLE=FILE...]`: draws in this process, without server or queue.

SETTINGS are `params` and `enlarge` of a request, in JSON.

Prints the names of the files; exit codes 0 done, 1 failed, 2 used wrongly.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.checkpoints import service as checkpoints
from app.errors import DomainError, Invalid
from app.generations.enlarging import resolved
from app.generations.schemas import Enlarging
from app.generations.service import fitting
from app.logs import configure_logging
from app.media import MEDIA, decoded, encoded, signed, taken
from app.settings import get_settings
from models.checkpoint import CheckpointError
from models.contract.files import write_atomically
from models.contract.sampling import Inputs, Request, Unfit
from models.contract.values import Value
from workers import model_cache
from workers.enlarge import enlarged
from workers.provenance import provenance


def draw(
    model: str,
    task: str,
    params: dict[str, Any],
    folder: Path,
    given: dict[str, list[Path]],
    enlarge: dict[str, Any] | None = None,
) -> Iterator[Path]:
    """Write `count` files with provenance into `folder`; yields their paths. `given` are inputs by role.

    Raises DomainError (no such model or task, parameters or inputs that do not fit), Unfit or CheckpointError.
    """
    found = checkpoints.get(model)
    wanted, checked = fitting(found, task, params, {role: len(paths) for role, paths in given.items()})
    larger = resolved(wanted, found, Enlarging.model_validate(enlarge) if enlarge else None)
    kept = {role: [input_of(path) for path in paths] for role, paths in given.items()}
    values: Inputs = {role: [each.value for each in files] for role, files in kept.items()}
    inputs = {role: [{"sha256": each.sha256} for each in files] for role, files in kept.items()}
    if checked.seed is None:
        checked.seed = secrets.randbelow(2**32)
    sampler = model_cache.sampler(found.name, found.sha256)
    requests = [Request(task, checked, checked.seed + i, values, i) for i in range(checked.count)]
    folder.mkdir(parents=True, exist_ok=True)
    medium = MEDIA[wanted.gives]
    assert medium.sign is not None, "what a task gives can be kept"
    for request, output in zip(requests, sampler.sample(requests, lambda step, total, previews: None), strict=True):
        output = enlarged(output, larger, lambda: None)
        work = encoded(output.value)
        made = provenance(
            model=model,
            checkpoint_sha256=found.sha256,
            request=request,
            params=checked.model_dump(mode="json"),
            inputs=inputs,
            enlarge=larger,
            kept=work,
            output=output,
            batch=len(requests),
        )
        path = folder / f"{model}-{request.seed}{medium.types[work.media_type]}"
        write_atomically(path, medium.sign(work.content, made))
        yield path


@dataclass(frozen=True)
class InputFile:
    """`sha256` is that by which a studio knows the file: a work of its own as it is, else as it keeps an upload."""

    value: Value
    sha256: str


def input_of(path: Path) -> InputFile:
    """Raises Invalid, UnsupportedMedia, OSError."""
    content = path.read_bytes()
    kept = taken(content, path.name)
    value = decoded(kept.content, kept.media_type)
    with suppress(Invalid):
        signed(content)
        return InputFile(value, hashlib.sha256(content).hexdigest())
    return InputFile(value, hashlib.sha256(kept.content).hexdigest())


def main(model: str, task: str, settings: str, folder: str, *given: str) -> int:
    configure_logging(get_settings().log_format)  # to stderr: stdout is for results
    try:
        inputs: dict[str, list[Path]] = {}
        for each in given:
            role, _, file = each.partition("=")
            inputs.setdefault(role, []).append(Path(file))
        for path in draw(model, task, folder=Path(folder), given=inputs, **json.loads(settings)):
            print(path, flush=True)
    except DomainError as error:
        print(error.in_full, file=sys.stderr)
        return 2 if isinstance(error, Invalid) else 1
    except (CheckpointError, Unfit, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
