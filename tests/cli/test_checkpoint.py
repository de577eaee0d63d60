from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from panderm.cli.main import main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 32, "depth": 1, "num_heads": 4, "num_classes": 0}
    torch.save(VisionTransformer(**sizes).state_dict(), tmp_path / "vit.pth")
    return tmp_path / "vit.pth"


def test_inspect__says_what_it_is_and_what_an_import_would_do(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["checkpoint", "inspect", str(file), "--heads", "4", "--keys"])
    told = capsys.readouterr().out
    assert "vit.pth is a timm ViT" in told
    assert "encoder: 16 px, patch 4, width 32, 1 blocks, 4 heads (as asked), MLP x 4" in told
    assert "vit.blocks.0.attn.qkv.weight" in told
    assert told.endswith("import: every key is accounted for\n")


def test_inspect__json_and_a_refusal(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["checkpoint", "inspect", str(file), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["refused"].startswith("vit.pth has width 32")
    torch.save({"conv.weight": torch.ones(3)}, file)
    main(["checkpoint", "inspect", str(file)])
    assert "import: refused: vit.pth is no layout that is known (conv.weight, ...)" in capsys.readouterr().out


def test_import_and_export__there_and_back(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = file.parent / "ours"
    main(["checkpoint", "import", str(file), "--out", str(ours), "--heads", "4", "--licence", "Apache-2.0"])
    assert "checkpoint_import: 2 made, 18 mapped" in capsys.readouterr().out
    main(["checkpoint", "inspect", str(ours)])
    assert "licence: Apache-2.0" in capsys.readouterr().out
    main(["checkpoint", "export", str(ours), "--format", "timm", "--out", str(file.parent / "back.safetensors")])
    assert "licence of the weights: Apache-2.0" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["checkpoint", "import", str(ours / "encoder.safetensors"), "--out", str(file.parent / "x")])
    assert stopped.value.code == 2
    assert "holds weights of this project already" in capsys.readouterr().err
