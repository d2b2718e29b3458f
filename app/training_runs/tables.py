"""Training runs: jobs of the training queue. Their curves, samples and checkpoints lie in a folder of their own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, Index, case
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base
from app.jobs.registry import JobQueue, enter
from app.jobs.table import Job
from models.contract.message import Message

TRAINING = "training"
AT_REST = ("paused", "succeeded", "failed", "cancelled")


class TrainingRun(Job, Base):
    """One run, over all of its attempts. `params` are fully resolved; `total` is 0 until the run says its steps."""

    __tablename__ = "training_runs"
    __table_args__ = (Index("ix_training_runs_queue", "status", "queue", "priority", "created_at"),)

    failure_message = Message(
        "The training process stopped three times in a row without a new checkpoint, perhaps for lack of memory. "
        "The log has the details; a smaller batch may help."
    )

    queue: Mapped[str] = mapped_column(default=TRAINING)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    name: Mapped[str]
    family: Mapped[str]
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"))
    collection: Mapped[str]  # a starter collection's name, or the dataset's when the run was made
    size: Mapped[int]  # side of the pictures, in pixels; 0 for other media
    preparation: Mapped[dict[str, Any]] = mapped_column(default=dict)  # see `models.contract.preparation`
    prepared: Mapped[str | None]  # folder of the prepared works, below the data folder
    version: Mapped[str | None]  # of the works and captions that the run has seen
    params: Mapped[dict[str, Any]]
    steps: Mapped[int]
    minutes: Mapped[float | None]
    patience: Mapped[int | None]
    seed: Mapped[int]
    evaluate: Mapped[bool] = mapped_column(default=True)  # measure what it has trained
    pieces: Mapped[int] = mapped_column(default=1)  # parts that a batch is worked on in, to save memory
    pause_requested: Mapped[bool] = mapped_column(default=False)
    phase: Mapped[str] = mapped_column(default="")
    progress: Mapped[float] = mapped_column(default=0.0)  # share of the budget that is spent
    seconds: Mapped[float] = mapped_column(default=0.0)  # of training, over all attempts
    saved: Mapped[int] = mapped_column(default=0)  # step of the newest checkpoint
    model: Mapped[str | None]  # the name under which it was published last

    @classmethod
    def status_when_released(cls) -> ColumnElement[str]:
        return case((cls.cancel_requested, "cancelled"), (cls.pause_requested, "paused"), else_="queued")


# Who watches a run looks at its row. Its worker only waits while a process of its own trains.
enter(JobQueue(TRAINING, TrainingRun, "workers.training.attempt", environment={"OMP_NUM_THREADS": "1"}))
