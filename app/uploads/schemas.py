"""Uploads on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class UploadOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    sha256: str
    media_type: str
    size_bytes: int
    width: int | None
    height: int | None
    facts: dict[str, Any] = Field(description="What is known of it besides")
    label: str
    created_at: datetime
