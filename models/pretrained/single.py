"""One file of weights, as Stable Diffusion and others were first given away, becomes a pipeline's folder.

What such a file does not say, configurations and tokenizers, lies beside it; nothing is fetched.
"""

from __future__ import annotations

from pathlib import Path

from models.contract.card import CheckpointError
from models.contract.pipelines import ARCHITECTURES, INDEX, UNUSED, check_configuration, parts_of, read_json
from models.contract.safetensors_header import check_header, read_header
from models.pretrained.load import BROKEN, TYPES, packages


def spread(folder: Path, weights: Path) -> None:
    """Put the weights of a file where the parts of the pipeline have them, and delete it. Raises CheckpointError."""
    index = read_json(folder, INDEX)
    name = str(index.get("_class_name"))
    if name not in ARCHITECTURES:
        return  # the index is looked through next, and says so
    for part in parts_of(index):  # the packages would take some of their own
        check_configuration(folder, part)
    check_header(weights)
    tensors, _ = read_header(weights)
    stored = {entry["dtype"] for entry in tensors.values()}
    kind = getattr(packages()["diffusers"], name)
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    try:
        pipeline = kind.from_single_file(
            str(weights),
            config=str(folder),
            local_files_only=True,
            torch_dtype=TYPES.get(stored.pop()) if len(stored) == 1 else None,
            **dict.fromkeys(UNUSED & set(kind._optional_components)),
        )
        pipeline.save_pretrained(folder, safe_serialization=True)
    except (*BROKEN, SingleFileComponentError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError("the pipeline cannot be opened ({reason})", reason=reason) from error
    weights.unlink()
