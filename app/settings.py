"""Every setting of the operator, read once from the environment (prefix DANQING_)."""

from __future__ import annotations

import re
import sys
import tempfile
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import quote, urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

ROOT = Path(__file__).parent.parent


def database_form(url: str) -> str:
    """SQLAlchemy's form of a database's URL: a plain postgresql:// means psycopg."""
    scheme, separator, rest = url.partition("://")
    return ("postgresql+psycopg" if scheme in ("postgres", "postgresql") else scheme) + separator + rest


def without_password(value: object) -> object:
    """A setting as it may be shown: of a URL, what stands between the name and the host is hidden, and its query."""
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    before, at, host = rest.rpartition("@")
    user = before.partition(":")[0]
    address, question, _ = (host if at else rest).partition("?")
    return f"{scheme}://{f'{user}:***@' if ':' in before else before + at}{address}{'?***' if question else ''}"


def bracketed(host: str) -> str:
    """As it is written in a URL."""
    return f"[{host}]" if ":" in host else host


class Settings(BaseSettings):
    """Defaults run everything on one machine with nothing installed; see `danqing doctor`."""

    model_config = SettingsConfigDict(env_prefix="DANQING_", extra="ignore")

    data: Path = Field(Path("data"), description="Folder of the database, works, datasets and runs")
    host: str = Field("127.0.0.1", description="Address that the web process listens on")
    port: int = Field(8000, ge=1, le=65535, description="Port that the web process listens on")
    url: str = Field(
        "", description="Address at which people open the studio: https://art.example.org, https://example.org/studio"
    )
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the data folder")
    redis_url: str = Field("", description="Redis or Valkey URL; empty: an embedded Valkey in the data folder")
    storage_url: str = Field("", description="s3://bucket/prefix for S3-compatible storage; empty: the data folder")
    storage_endpoint: str = Field("", description="Endpoint of S3-compatible storage that is not Amazon's")
    allowed_hosts: str = Field("", description="Host names that the site answers to besides its own, comma-separated")
    secure_cookies: bool = Field(False, description="Set where the site is served over HTTPS")
    trusted_proxies: str = Field(
        "",
        description="Addresses whose X-Forwarded-* headers are believed; empty: this machine's, but for whom it speaks",
    )
    cors_origins: str = Field(
        "",
        description="Sites whose scripts may use the API with a key, comma-separated: https://app.example; * for all",
    )
    metrics_from: str = Field("", description="Networks that read /metrics without a key, comma-separated: 10.0.0.0/8")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    model_cache_mib: int = Field(2048, ge=64, description="Memory for loaded checkpoints of one worker, in MiB")
    pipeline_weights: str = Field(
        "half", pattern="^(half|8-bit)$", description="Pretrained models' matrices: half precision, or 8-bit"
    )
    pipeline_offload: str = Field(
        "auto",
        pattern="^(auto|always|never)$",
        description="Keep pretrained models' weights beside a GPU that is too small: auto, always or never",
    )
    pipeline_compile: bool = Field(
        False, description="Compile pretrained models: the first picture of a size takes a minute more, the others less"
    )
    pipeline_first_block: float = Field(
        0.0, ge=0, le=1, description="FLUX leaves out blocks where its first one changes less than this: 0 (off) to 1"
    )
    lease_seconds: float = Field(30.0, ge=1, description="A job whose worker is silent for so long is given to another")
    sweep_seconds: float = Field(5.0, gt=0, description="Pause between two looks for lost doorbells and leases")
    training_processes: int = Field(0, ge=0, le=64, description="Processes that train one run; 0: one a GPU, or one")
    trash_days: int = Field(30, ge=0, description="How long the trash keeps works; 0: for ever")
    model_wait_hours: int = Field(24, ge=1, description="Hours that a job waits for a worker with its model")
    screen_artists: str = Field(
        "off", pattern="^(off|blur|refuse)$", description="Artists' pictures that look indecent: off, blur or refuse"
    )
    screen_admins: str = Field(
        "off", pattern="^(off|blur|refuse)$", description="Admins' pictures that look indecent: off, blur or refuse"
    )
    screen_from: float = Field(0.8, ge=0, le=1, description="How sure the classifier must be, from 0 to 1")
    max_queued_per_user: int = Field(200, ge=1, description="Unfinished jobs that one user may have")
    max_queued_cost_per_user: int = Field(3200, ge=1, description="What they may cost, in pictures of a small model")
    max_storage_mib_per_user: int = Field(0, ge=0, description="What one user may keep, in MiB; 0: no limit")
    max_streams_per_user: int = Field(30, ge=1, description="Live streams of one user in one web process")
    max_upload_mib: int = Field(20, ge=1, description="Largest upload of an input picture, in MiB")
    max_dataset_upload_mib: int = Field(4096, ge=1, description="Largest upload into a dataset, in MiB")
    max_checkpoint_upload_mib: int = Field(4096, ge=1, description="Largest upload of a checkpoint at once, in MiB")
    max_transfer_gib: int = Field(64, ge=1, le=64, description="Largest checkpoint that comes in pieces, in GiB")
    import_from: str = Field("", description="Folders of the server that may be imported from, comma-separated")
    max_archive_entries: int = Field(250_000, ge=1, description="Files that one zip archive may hold")
    max_archive_gib: int = Field(20, ge=1, description="What one zip archive may unpack to, in GiB")
    max_archive_ratio: int = Field(100, ge=1, description="How many times its own size an archive may unpack to")
    max_body_kib: int = Field(256, ge=16, description="Largest JSON or form body, in KiB")
    log_format: str = Field("console", pattern="^(console|json)$", description="console or json")

    @field_validator("data")
    @classmethod
    def absolute(cls, folder: Path) -> Path:
        return folder.expanduser().resolve()

    @field_validator("database_url")
    @classmethod
    def of_a_database(cls, url: str) -> str:
        """Refused without a word of it: there may be a password in it."""
        try:
            scheme = make_url(database_form(url)).get_backend_name() if url else "sqlite"
        except (ArgumentError, NoSuchModuleError, ValueError):
            scheme = ""
        if scheme not in ("sqlite", "postgresql"):
            raise ValueError("must be a URL such as postgresql://user:password@host/name")
        return url

    @field_validator("redis_url")
    @classmethod
    def of_redis(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must be a URL such as redis://host:6379/0, or unix:///folder/valkey.sock?db=0")
        return url

    @field_validator("storage_url")
    @classmethod
    def of_s3(cls, url: str) -> str:
        if url and (urlsplit(url).scheme != "s3" or not urlsplit(url).netloc):
            raise ValueError("must be a URL such as s3://bucket/prefix")
        return url

    @field_validator("cors_origins")
    @classmethod
    def of_origins(cls, listed: str) -> str:
        for origin in (each.strip() for each in listed.split(",")):
            parts = urlsplit(origin)
            if origin not in ("", "*") and (not parts.netloc or parts.path not in ("", "/") or parts.query):
                raise ValueError("must be origins such as https://app.example, without a path")
        return listed

    @field_validator("metrics_from", "trusted_proxies")
    @classmethod
    def of_networks(cls, listed: str) -> str:
        if listed.strip() != "*":  # of proxies: whoever can reach the studio is one
            try:
                networks(listed)
            except ValueError as error:
                raise ValueError("must be addresses or networks, comma-separated: 10.0.0.0/8") from error
        return listed

    @field_validator("url")
    @classmethod
    def of_a_site(cls, url: str) -> str:
        """Without a slash at its end; a name in other letters than ASCII's as browsers send it. It may have a path."""
        if not url:
            return url
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").encode("idna").decode()
        port = f":{parts.port}" if parts.port is not None else ""  # raises ValueError
        path = parts.path.rstrip("/")
        beside = not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", path) or parts.query or parts.fragment
        if (
            parts.scheme not in ("http", "https")
            or not re.fullmatch(r"[a-z0-9._:-]+", host)
            or beside
            or "@" in parts.netloc
        ):
            raise ValueError("must be an address such as https://art.example.org, or https://example.org/studio")
        return f"{parts.scheme}://{bracketed(host)}{port}{path}"

    def screening(self, role: str) -> str:
        """off, blur or refuse."""
        return self.screen_admins if role == "admin" else self.screen_artists

    @property
    def database(self) -> str | URL:
        """URL in SQLAlchemy's form; of a file as parts, for its path may have any character."""
        return (
            database_form(self.database_url) if self.database_url else URL.create("sqlite", database=str(self.sqlite))
        )

    @property
    def sqlite(self) -> Path:
        """Where the database lies unless there is a URL."""
        return self.data / "danqing.sqlite"

    @property
    def address(self) -> str:
        """Where people open the studio."""
        return self.url or self.local_address

    @property
    def prefix(self) -> str:
        """The path under which people open the studio, "" where it has a host of its own."""
        return urlsplit(self.url).path

    @property
    def local_address(self) -> str:
        """Where this machine asks the web process; one that listens on every address answers on its own, too."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{bracketed(host)}:{self.port}"

    @property
    def valkey_socket(self) -> Path:
        return self.data / "valkey" / "valkey.sock"

    @property
    def redis(self) -> str:
        """URL in redis-py's form."""
        return self.redis_url or f"unix://{quote(str(self.valkey_socket))}?db=0"

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
        own = {"localhost", "127.0.0.1", "[::1]", bracketed(self.host)}
        if self.url:
            own.add(bracketed(urlsplit(self.url).hostname or ""))
        return sorted((own | {h.strip() for h in self.allowed_hosts.split(",") if h.strip()}) - {"0.0.0.0", "[::]"})

    @property
    def cors(self) -> list[str]:
        return [origin.strip().rstrip("/") for origin in self.cors_origins.split(",") if origin.strip()]

    def may_read_metrics(self, peer: str) -> bool:
        """`peer` is the address of the connection itself, whatever headers say of where a request came from."""
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in networks(self.metrics_from))


@cache
def networks(listed: str) -> list[IPv4Network | IPv6Network]:
    """Raises ValueError."""
    return [ip_network(each.strip(), strict=False) for each in listed.split(",") if each.strip()]


def data_folder() -> Path:
    """The data folder, made where it is missing. Raises SystemExit with a sentence where that cannot be."""
    folder = get_settings().data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        print(f"danqing: DANQING_DATA: {folder} cannot be written: {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from None


@cache
def get_settings() -> Settings:
    """Raises SystemExit with a sentence that names the variable."""
    try:
        return Settings()
    except ValidationError as error:
        from app.validation import of_field

        names = [f"DANQING_{str(p['loc'][0]).upper()}: {of_field(p)}" for p in error.errors(include_input=False)]
        print(f"danqing: {'; '.join(names)}", file=sys.stderr)
        raise SystemExit(2) from None
