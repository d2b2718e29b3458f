"""The web process stays small: it never loads torch."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        ).stdout.split()
    )


def test_the_web_process_loads_no_torch() -> None:
    modules = loaded_by(
        "import app.main; app.main.create_app(); from app.checkpoints import service; assert service.catalogue()"
    )
    assert "fastapi" in modules
    assert not {"torch", "numpy", "tokenizers", "safetensors", "resvg_py", "workers"} & modules


def test_packages_of_models_are_empty_so_that_specs_load_alone() -> None:
    assert all(not path.read_text() for path in (ROOT / "models").rglob("__init__.py"))
