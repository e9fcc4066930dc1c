"""The metrics of representations are for anybody's encoder: numpy and torch are enough."""

import subprocess
import sys

ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("espnet", "espnet2", "transformers", "scipy", "sklearn", "rapidfuzz"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Refuse())
import torch
from espnet_llmasr.metrics.accessible_information import EstimatorConfig, pool
from espnet_llmasr.metrics.cka import linear_cka
from espnet_llmasr.metrics.encoder_metrics import set_metrics, utterance_metrics

frames = torch.randn(60, 8, 6)
u = torch.stack([pool(x) for x in frames])
print(utterance_metrics(frames[0]), linear_cka(frames[0], frames[1]))
print(set_metrics(u, u.abs(), u[:, ::2].tan(), EstimatorConfig(3)))
own = [name for name in sys.modules if name.startswith("espnet_llmasr.")]
assert own and all(name.startswith("espnet_llmasr.metrics") for name in own), own
"""


def test_metrics_without_espnet_and_transformers():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
