"""Makes a checkpoint a model that artists see: `python -m models.import_checkpoint FOLDER CHECKPOINTS NAME`.

The weights are read (hashes held, finite) and loaded into their architecture before anything is kept. FOLDER holds a
checkpoint of ours, or what `models.adopt` makes one of.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from models.adopt import adopt
from models.contract.card import CheckpointError, read_card
from models.contract.files import WRITING
from models.contract.publication import publish
from models.contract.registry import families
from models.prove import prove


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a checkpoint a model that artists see.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", type=Path)
    parser.add_argument("name")
    parser.add_argument("--replace", action="store_true")
    arguments = parser.parse_args()
    try:
        arguments.checkpoints.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=arguments.checkpoints, prefix=WRITING) as temporary:
            folder = arguments.folder
            if adopted := not (folder / "card.json").exists():
                folder = Path(shutil.copytree(folder, Path(temporary) / "adopted"))
                adopt(folder)
            target = publish(
                folder, arguments.checkpoints, arguments.name, arguments.replace, prove=prove, is_adopted=adopted
            )
        if not families()[read_card(target)["family"]].tasks:
            print("It draws nothing by itself; other models may build on it", file=sys.stderr)
        print(target)
    except CheckpointError as error:
        print(f"danqing: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
