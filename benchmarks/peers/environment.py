"""An environment of their own for the peers, so that what they pin never meets what we pin."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from tests.studio import ROOT

FOLDER = ROOT / ".venv-peers"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
# What their networks import.
NEEDED = ["torch", "numpy", "pillow", "tqdm", "einops", "pydantic", "cloudpickle", "huggingface_hub", "safetensors"]
NEEDED += [
    "regex",
    "requests",
    "filelock",
    "importlib_metadata",
    "httpx",
    "scipy",
    "scikit-learn",
    "imageio",
    "colorama",
    "tabulate",
    "tokenizers",
    "packaging",
    "pyyaml",
    "typer",
]


def python() -> Path:
    """Its interpreter, with the packages installed. Raises subprocess.CalledProcessError when they cannot be."""
    found, stamp = FOLDER / "bin" / "python", FOLDER / "installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + repr(NEEDED).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return found
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=True)
    install = [str(found), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), *NEEDED], check=True, stdout=sys.stderr)
    subprocess.run([*install, "--no-deps", "-r", str(REQUIREMENTS)], check=True, stdout=sys.stderr)
    stamp.write_text(wanted)
    return found
