"""Where files live: content-addressed, written whole or not at all, on a disk or in S3-compatible storage."""

from __future__ import annotations

from functools import cache

from app.settings import get_settings
from app.storage.contract import Storage, address
from app.storage.local import LocalStorage
from app.storage.s3 import S3Storage

__all__ = ["LocalStorage", "S3Storage", "Storage", "address", "get_storage"]


@cache
def get_storage() -> Storage:
    settings = get_settings()
    if settings.storage_url:
        return S3Storage(settings.storage_url, settings.storage_endpoint)
    return LocalStorage(settings.data / "files")
