"""Uploads on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.validation import Identifier
from models.contract.message import Message


class UploadOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: Identifier
    sha256: str
    media_type: str
    size_bytes: int
    width: int | None
    height: int | None
    facts: dict[str, Any] = Field(description="What is known of it besides")
    label: str
    created_at: datetime
    used_at: datetime | None = Field(description="When a job last took it")


class UploadedOut(UploadOut):
    remark: Message | None = Field(None, description="What of the file was not kept")


class UploadList(BaseModel):
    items: list[UploadOut]
    next_cursor: str | None
    used_bytes: int = Field(description="Of all works and uploads of the user")
    limit_bytes: int = Field(description="What they may be together; 0: no limit")
