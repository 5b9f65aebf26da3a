"""TensorBoard's writer must not load a deep learning framework that a run does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_torch_stays_away_and_can_still_be_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("Tensor = 'the installed one'\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from topoevo.reporting.event_files import load_tensorboardx\n"
        "load_tensorboardx()\n"
        "print('torch' in sys.modules, 'tensorboardX' in sys.modules)\n"
        "import torch; print(torch.Tensor)\n"
        "load_tensorboardx(); print(sys.modules['torch'] is torch)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["False True", "the installed one", "True"]


def test_it_is_missing_to_the_thread_that_loads_alone(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("Tensor = 'the installed one'\n")
    (tmp_path / "tensorboardX.py").write_text(
        "import threading\n"
        "try:\n    import torch\nexcept ImportError as error:\n    print(type(error).__name__, error.name)\n"
        "def other():\n    import torch\n    print(torch.Tensor)\n"
        "thread = threading.Thread(target=other); thread.start(); thread.join()\n"
        "raise RuntimeError('broken')\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); before = list(sys.meta_path)\n"
        "from topoevo.reporting.event_files import load_tensorboardx\n"
        "try:\n    load_tensorboardx()\nexcept RuntimeError as error:\n    print(error, sys.meta_path == before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["ModuleNotFoundError torch", "the installed one", "broken True"]
