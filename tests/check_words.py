"""The field's words: names that only this project would use, and what to say. As names in the code, not in prose."""

from __future__ import annotations

import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SAY = {
    "let_go": "status_when_released",
    "given_up": "failure_message",
    "put_back": "release",
    "give_back_all": "release_all",
    "wishes": "requests",
    "sitting": "attempt",
    "judge": "discriminator, or optimizer_d",
    "maker": "generator, or optimizer_g",
    "doubt": "adversarial_loss",
    "manner": "feature_statistics",
    "manners": "feature_statistics",
    "loudness": "feature_scale",
    "namer": "style_classifier",
    "calm": "lr_factor",
    "may_get_flat": "supports_early_stopping",
    "own_copy": "pin_checkpoint",
    "offering": "model_for_task",
    "cut_off": "dependent_broken_by",
    "speaks": "shares_tokens_with",
    "abroad": "portable",
    "Told": "EmbeddedProvenance, or OnProgress",
}


def found() -> Iterator[str]:
    for path in sorted(path for root in ("app", "models", "workers") for path in (ROOT / root).rglob("*.py")):
        with path.open("rb") as source:
            for token in tokenize.tokenize(source.readline):
                if token.type == tokenize.NAME and token.string in SAY:
                    yield f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}: say {SAY[token.string]}"


if __name__ == "__main__":
    lines = list(found())
    print("\n".join(lines), end="\n" if lines else "")
    sys.exit(bool(lines))
