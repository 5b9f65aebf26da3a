"""TensorBoard's writer must not load a deep learning framework that a run does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_torch_stays_away_and_can_still_be_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("Tensor = 'the installed one'\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from topoevo.reporting.tensorboard import load_tensorboardx\n"
        "load_tensorboardx()\n"
        "print('torch' in sys.modules, 'tensorboardX' in sys.modules)\n"
        "import torch; print(torch.Tensor)\n"
        "load_tensorboardx(); print(sys.modules['torch'] is torch)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["False True", "the installed one", "True"]
