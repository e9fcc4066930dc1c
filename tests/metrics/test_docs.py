"""The example of docs/encoder_analysis.md runs as it stands, and its figures about ridge and bias are right."""

import math
import re
from pathlib import Path

import pytest
import torch

import espnet_llmasr
from espnet_llmasr.metrics.cka import linear_cka

README = (Path(espnet_llmasr.__file__).parents[1] / "docs" / "encoder_analysis.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    torch.manual_seed(0)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if ":" in line] == ["Whisper", "wav2vec 2.0", "CKA between the two"]
    numbers = [float(number) for line in lines for number in re.findall(r"\d+\.\d{2,}", line)]
    assert len(numbers) == 2 * 8 + 1 and all(map(math.isfinite, numbers))


def test_most_that_a_component_holds():
    most = [-0.5 * math.log2(1 - 1 / (1 + ridge) ** 2) for ridge in (0.001, 0.01, 0.1)]
    assert [round(bits, 1) for bits in most] == [4.5, 2.8, 1.3]
    assert "4.5 at λ = 0.001, 2.8 at 0.01, 1.3 at 0.1" in README


@pytest.mark.parametrize("length, width_a, width_b", [(250, 320, 320), (200, 256, 410)])
def test_cka_of_noise(length, width_a, width_b):
    """The README's rule, at a quarter and a fifth of the sizes it names."""
    noise = torch.Generator().manual_seed(0)
    a, b = (torch.randn(length, width, generator=noise) for width in (width_a, width_b))
    rule = math.sqrt(width_a * width_b / ((length + width_a) * (length + width_b)))
    assert linear_cka(a, b).item() == pytest.approx(rule, abs=0.01)
