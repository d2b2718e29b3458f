"""What a family calls its parameters is its own business: nothing outside of it reads one by name. Where others have to
know of one, its schema has a mark (see `models.contract.fine_tuning.marked` and `models.contract.tasks.Task`).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from models.contract import latent_spec, painting, tasks, training_spec, upscaling, writing
from models.contract.fine_tuning import START, network_of
from models.contract.registry import families

ROOT = Path(__file__).parent.parent
OUTSIDE = ("app", "workers", "models/contract", "models/training")
HOLDERS = ("params", "network", "config", "card", "provenance")
OF_ALL = {"network", "batch_size", "size", START}  # what every training has, where it has one
KNOWN = {
    ("app/artworks/service.py", "style_weights"),  # in works of before, which are there to stay
    ("app/media/provenance.py", "guidance_scale"),  # what other programs call it, in the text that they read
    ("app/media/provenance.py", "height"),  # of the picture
}


def names() -> set[str]:
    """Parameters that a family has brought: those of the contract's own classes are everybody's."""
    found, shared = set[str](), set(OF_ALL)
    for module in (tasks, painting, latent_spec, training_spec, upscaling, writing):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                shared |= set(kind.model_fields)
    for family in families().values():
        for task in family.tasks:
            found |= set(task.params.model_fields)
        if family.training:
            found |= set(family.training.model_fields) | set(network_of(family.training).model_fields)
    return found - shared


def read_by(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(what is read, the name) of an attribute, an item, `get`, `pop` or `getattr`."""
    if isinstance(node, ast.Attribute):
        yield ast.unparse(node.value), node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        yield ast.unparse(node.value), str(node.slice.value)
    if isinstance(node, ast.Call) and node.args:
        constants = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
            yield from ((ast.unparse(node.func.value), name) for name in constants[:1])
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            yield from (("params", name) for name in constants[:1])


def found() -> Iterator[str]:
    own = names()
    paths = (path for folder in OUTSIDE for path in (ROOT / folder).rglob("*.py"))
    for path in sorted(path for path in paths if "migrations" not in path.parts):  # which are history
        place = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for holder, name in read_by(node):
                if name in own and holder.endswith(HOLDERS) and (place, name) not in KNOWN:
                    yield f"{place}:{node.lineno}: {name} is a family's own"  # type: ignore[attr-defined]


if __name__ == "__main__":
    lines = list(found())
    print("\n".join(lines), end="\n" if lines else "")
    sys.exit(bool(lines))
