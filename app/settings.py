"""Every setting of the operator, read once from the environment (prefix DANQING_)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).parent.parent


class Settings(BaseSettings):
    """Defaults run everything on one machine with nothing installed; see `danqing doctor`."""

    model_config = SettingsConfigDict(env_prefix="DANQING_", extra="ignore")

    data: Path = Field(Path("data"), description="Folder of the database, works, datasets and runs")
    host: str = Field("127.0.0.1", description="Address that the web process listens on")
    port: int = Field(8000, ge=1, le=65535, description="Port that the web process listens on")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data folder")
    redis_url: str = Field("", description="Redis or Valkey URL; empty: an embedded Valkey in the data folder")
    storage_url: str = Field("", description="s3://bucket/prefix for S3-compatible storage; empty: the data folder")
    storage_endpoint: str = Field("", description="Endpoint of S3-compatible storage that is not Amazon's")
    allowed_hosts: str = Field("", description="Host names that the site answers to besides its own, comma-separated")
    secure_cookies: bool = Field(False, description="Set where the site is served over HTTPS")
    trusted_proxies: str = Field("127.0.0.1", description="Addresses whose X-Forwarded-* headers are believed")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    model_cache_mib: int = Field(2048, ge=64, description="Memory for loaded checkpoints of one worker, in MiB")
    lease_seconds: float = Field(30.0, ge=1, description="A job whose worker is silent for so long is given to another")
    sweep_seconds: float = Field(5.0, gt=0, description="Pause between two looks for lost doorbells and leases")
    training_processes: int = Field(0, ge=0, le=64, description="Processes that train one run; 0: one a GPU, or one")
    trash_days: int = Field(30, ge=0, description="How long the trash keeps works; 0: for ever")
    max_queued_per_user: int = Field(200, ge=1, description="Unfinished jobs that one user may have")
    max_upload_mib: int = Field(20, ge=1, description="Largest upload of an input picture, in MiB")
    max_dataset_upload_mib: int = Field(4096, ge=1, description="Largest upload into a dataset, in MiB")
    max_checkpoint_upload_mib: int = Field(4096, ge=1, description="Largest upload of a checkpoint, in MiB")
    max_archive_entries: int = Field(250_000, ge=1, description="Files that one zip archive may hold")
    max_archive_gib: int = Field(20, ge=1, description="What one zip archive may unpack to, in GiB")
    max_archive_ratio: int = Field(100, ge=1, description="How many times its own size an archive may unpack to")
    max_body_kib: int = Field(256, ge=16, description="Largest JSON or form body, in KiB")
    log_format: str = Field("console", pattern="^(console|json)$", description="console or json")

    @field_validator("data")
    @classmethod
    def absolute(cls, folder: Path) -> Path:
        return folder.expanduser().resolve()

    @property
    def database(self) -> str:
        """SQLAlchemy's form; a plain postgresql:// means psycopg."""
        if not self.database_url:
            return f"sqlite:///{self.data / 'danqing.sqlite'}"
        scheme, separator, rest = self.database_url.partition("://")
        return ("postgresql+psycopg" if scheme in ("postgres", "postgresql") else scheme) + separator + rest

    @property
    def valkey_socket(self) -> Path:
        return self.data / "valkey" / "valkey.sock"

    @property
    def redis(self) -> str:
        """URL in redis-py's form."""
        return self.redis_url or f"unix://{self.valkey_socket}?db=0"

    @property
    def broker(self) -> str:
        """The same server in Celery's form."""
        if self.redis.startswith("unix://"):
            path, _, query = self.redis.removeprefix("unix://").partition("?")
            return f"redis+socket://{path}?virtual_host={query.removeprefix('db=') or 0}"
        return self.redis

    @property
    def hosts(self) -> list[str]:
        """Host names that requests may name."""
        own = {"localhost", "127.0.0.1", "[::1]", self.host}
        return sorted((own | {h.strip() for h in self.allowed_hosts.split(",") if h.strip()}) - {"0.0.0.0", "::"})


@cache
def get_settings() -> Settings:
    return Settings()
