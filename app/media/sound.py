"""Scores as sound: a MIDI file played with the soundfont that set-up fetches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from app.errors import Unavailable
from app.packages.npm import node_command
from app.settings import ROOT

VENDOR = ROOT / "static" / "vendor"
CORE, SOUNDFONT_FILE = "spessasynth_core.mjs", "soundfont.sf3"
SCRIPT = Path(__file__).with_name("sound.mjs")
LONGEST, DEADLINE = 1200.0, 120.0  # seconds: of a piece that is played, and that playing it may take
MISSING = "There is no soundfont: `danqing vendor` fetches it on systems with apt"


def can_play() -> bool:
    return (VENDOR / SOUNDFONT_FILE).is_file()


def wav(midi: bytes) -> bytes:
    """48 kHz, stereo, 16 bits. Raises Unavailable."""
    if not can_play():
        raise Unavailable(MISSING)
    return made_by([*node_command(), str(SCRIPT), str(VENDOR / CORE), str(VENDOR / SOUNDFONT_FILE)], midi)


def opus(midi: bytes) -> bytes:
    """The same as Ogg Opus. Raises Unavailable."""
    return made_by([sys.executable, "-m", "app.media.opus"], wav(midi))


def made_by(command: list[str], given: bytes) -> bytes:
    """What a program writes of what it is given. Raises Unavailable."""
    try:
        played = subprocess.run(command, input=given, capture_output=True, timeout=DEADLINE, check=True, cwd=ROOT)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable("The piece could not be played") from error
    return played.stdout
