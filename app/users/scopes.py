"""What an API key may do: of all that its user may, a part.

Every key reads; what changes something needs the scope of its part of the API. Of users, keys and machines nothing is
read without the scope `admin`.
"""

from __future__ import annotations

from collections.abc import Collection

from app.errors import Forbidden
from app.security import SAFE_METHODS

READ, GENERATE, TRAIN, ADMIN = SCOPES = ("read", "generate", "train", "admin")
USUAL = (READ, GENERATE)
OF_ROLE = {"artist": USUAL, "admin": SCOPES}  # what is of use to whom
# By the first part of the path below /api/v1; what is not here needs `admin`.
OF_PATH = {
    "generations": GENERATE,
    "explorations": GENERATE,
    "grids": GENERATE,
    "artworks": GENERATE,
    "uploads": GENERATE,
    "events": GENERATE,
    "models": GENERATE,
    "datasets": TRAIN,
    "training-families": TRAIN,
    "training-runs": TRAIN,
    "checkpoints": TRAIN,
    "api-keys": READ,  # its own user's; which keys may be made and ended is said there
    "users/me": READ,
    "sessions": READ,
    "openapi.json": READ,
}


class MissingScope(Forbidden):
    code = "missing-scope"


def needed(method: str, path: str) -> str:
    below = path.removeprefix("/api/v1/").strip("/")
    scope = OF_PATH.get(below) or OF_PATH.get(below.partition("/")[0], ADMIN)
    return READ if method in SAFE_METHODS and scope != ADMIN else scope


def check_scope(scopes: Collection[str], method: str, path: str) -> None:
    """Raises MissingScope. Whoever may do something may read."""
    scope = needed(method, path)
    if scope != READ and scope not in scopes:
        raise MissingScope("This key lacks the scope {scope}", scope=scope)
