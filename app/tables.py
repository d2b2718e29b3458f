"""Every table, imported so that the metadata is whole (migrations, foreign keys)."""

from app.artworks.tables import Artwork
from app.checkpoints.tables import PublishedCheckpoint
from app.database import Base
from app.datasets.tables import Dataset, DatasetItem
from app.generations.tables import Generation
from app.grids.tables import Grid
from app.jobs.pauses import QueuePause
from app.machines.tables import Worker
from app.training_runs.tables import TrainingRun
from app.upkeep.tables import Upkeep
from app.uploads.tables import Upload
from app.users.tables import ApiKey, OneTimeLink, User, UserSession

__all__ = [
    "ApiKey",
    "Artwork",
    "Base",
    "Dataset",
    "DatasetItem",
    "Generation",
    "Grid",
    "OneTimeLink",
    "PublishedCheckpoint",
    "QueuePause",
    "TrainingRun",
    "Upkeep",
    "Upload",
    "User",
    "UserSession",
    "Worker",
]
