"""Uploads on the wire."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class UploadOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    sha256: str
    media_type: str
    size_bytes: int
    width: int
    height: int
    label: str
    created_at: datetime
