"""Every setting of the service, with its default: ``MARGINCERT_<NAME>`` in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.place import Place

PREFIX = "MARGINCERT_"
NOT_LIMITS = frozenset({"api_keys", "data_dir", "database", "host", "port"})


def default_data_dir() -> Path:
    """The user's state directory, so that the place does not depend on the working directory."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "margincert"


def default_workers() -> int:
    """One worker a core, at most two: a solve uses one thread and up to its memory limit."""
    return max(1, min(2, os.cpu_count() or 1))


class Settings(BaseSettings):
    """Limits and places; :meth:`limits` is what ``/v1/limits`` shows."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Directory of the stored answers."
    )
    database: str | None = Field(
        None,
        description="Address of the database (sqlite:///... or postgresql://...); "
        "none: a SQLite file in the data directory.",
    )
    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Accepted bearer keys, separated by commas; none: no key is asked for."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1", "localhost", "[::1]"),
        description="Host headers accepted, on any port, separated by commas; * accepts all.",
    )
    max_body_bytes: int = Field(8_000_000, ge=1, description="Largest request body, in bytes.")
    max_numbers: int = Field(
        10_000_000, ge=1, description="Most numbers in all arrays of one request."
    )
    max_depth: int = Field(64, ge=8, le=512, description="Deepest nesting of a JSON body.")
    body_timeout: float = Field(10.0, gt=0, description="Seconds to receive a whole body.")
    header_timeout: float = Field(5.0, gt=0, description="Seconds to receive the headers.")
    max_time_limit: float = Field(60.0, gt=0, description="Largest option time_limit, seconds.")
    max_memory_mb: int = Field(4096, ge=64, description="Largest option max_memory_mb.")
    max_check_work: int = Field(
        1_000_000_000, ge=1, description="Multiplications that checking a certificate may cost."
    )
    max_workers: int = Field(
        default_factory=default_workers, ge=1, le=256, description="Solver processes."
    )
    max_queue: int = Field(64, ge=0, description="Most requests that wait for a worker.")
    max_queue_seconds: float = Field(
        30.0, gt=0, description="Longest wait for a worker before 503, seconds."
    )
    kill_after: float = Field(
        0.5, ge=0, le=10, description="Seconds past its time_limit before a solver is killed."
    )
    max_connections: int = Field(256, ge=1, description="Most open connections; more get 503.")
    shutdown_timeout: int = Field(5, ge=1, le=9, description="Seconds that a stop may wait.")

    write_timeout: float = Field(
        30.0, gt=0, description="Seconds that a client may leave an answer unread."
    )
    job_workers: int = Field(
        default_factory=default_workers,
        ge=0,
        le=256,
        description="Jobs that this process runs at a time; 0: other machines run them.",
    )
    max_job_time_limit: float = Field(
        86_400.0, gt=0, description="Largest option time_limit of a job or a batch line, seconds."
    )
    max_queued_jobs: int = Field(
        100_000, ge=1, description="Most jobs and chunks of batches that wait."
    )
    max_batch_bytes: int = Field(256_000_000, ge=1, description="Largest batch, in bytes.")
    max_batch_lines: int = Field(10_000, ge=1, description="Most requests in one batch.")
    batch_timeout: float = Field(600.0, gt=0, description="Seconds to receive a whole batch.")
    max_page: int = Field(200, ge=1, description="Most entries of one page of a list.")
    max_wait: float = Field(60.0, gt=0, description="Longest wait of a long poll, seconds.")
    max_streams: int = Field(
        100, ge=1, description="Most event streams and long polls at a time; more get 503."
    )
    idempotency_hours: float = Field(
        24.0, gt=0, description="Hours for which an Idempotency-Key is remembered."
    )
    job_retention_days: float = Field(
        30.0, gt=0, description="Days after which finished jobs and batches are deleted."
    )

    @field_validator("api_keys", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """Read a comma-separated environment variable."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    def database_url(self) -> str:
        """The address of the database."""
        return self.database or f"sqlite:///{self.data_dir.absolute() / 'margincert.db'}"

    def place(self) -> Place:
        """Where answers are kept."""
        return Place(self.data_dir, self.database_url())

    def limits(self) -> dict[str, Any]:
        """Every limit in force, by name; keys and places are not among them."""
        return self.model_dump(mode="json", exclude=set(NOT_LIMITS))


def environment_name(setting: str) -> str:
    """The environment variable of a setting, as error messages name it."""
    return PREFIX + setting.upper()
