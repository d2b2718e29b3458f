"""Types of path and query parameters that more than one feature uses."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator

from app.validation import no_controls, uuid_text

Id = Annotated[str, Path(max_length=36), AfterValidator(uuid_text)]
Text = Annotated[str | None, Query(max_length=200), AfterValidator(no_controls)]
OptionalId = Annotated[str | None, Query(max_length=36), AfterValidator(lambda value: value and uuid_text(value))]
