"""An empty store, tiny encoders and their probe."""

from types import SimpleNamespace

import pytest
import torch

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.cr_ctc import CTCHead
from espnet_llmasr.encoder_swap.probe import EncoderProbe
from espnet_llmasr.encoder_swap.store import EncoderStore


@pytest.fixture()
def store(tmp_path):
    return EncoderStore(tmp_path / "store")


@pytest.fixture(scope="session")
def encoder():
    """(seed) -> an encoder of two blocks with outputs (L, 16)."""

    def build(seed):
        torch.manual_seed(seed)
        return FireRedConformerEncoder(output_size=16, num_blocks=2, attention_heads=2, kernel_size=5, pe_maxlen=60)

    return build


@pytest.fixture(scope="session")
def new_probe(encoder):
    """(batches) -> a probe; a batch is features (B, T, 80) in the place of speech, and their lengths (B,)."""

    def build(batches):
        frontend = lambda speech, lengths: (speech, lengths)
        model = SimpleNamespace(encoder=encoder(1), frontend=frontend, normalize=None, ctc_head=CTCHead(16, 5))
        return EncoderProbe(model, batches)

    return build
