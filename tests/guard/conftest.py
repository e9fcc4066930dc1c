"""A tiny CTC head with real phones, and log-probabilities that say what a test wants them to say."""

import pytest
import torch

from espnet_llmasr.guard.calibration import Calibration
from espnet_llmasr.guard.verifier import Witness
from espnet_llmasr.tasks.phoneme_ctc import PhonemeCTCTask
from espnet_llmasr.text.inventories import read_tokens

TOKENS = read_tokens("zh_en")


@pytest.fixture(scope="session")
def head(phone_options, tmp_path_factory):
    """The folder of a trained CTC head over zh_en with its guard.json."""
    out = tmp_path_factory.mktemp("head") / "out"
    tokens = out.parent / "phones.txt"
    tokens.write_text("".join(f"{token}\n" for token in TOKENS), encoding="utf-8")
    PhonemeCTCTask.main(cmd=phone_options(out, token_list=str(tokens), max_epoch=1))
    model = Witness(out / "config.yaml", out / "latest.pth").fingerprint()
    Calibration(0.5, 0.9, 0.05, 4, model, "dump/valid").write(out / "guard.json")
    return out


@pytest.fixture(scope="session")
def witness(head):
    return Witness(head / "config.yaml", head / "latest.pth")


@pytest.fixture(scope="session")
def saying():
    """(phones, sureness) -> log-probabilities (S, V) of a head that hears just these phones, three frames each."""

    def make(phones: str, sureness: float = 8.0) -> torch.Tensor:
        path = [0, 0]
        for phone in phones.split():
            path += [TOKENS.index(phone)] * 2 + [0]
        torch.manual_seed(0)
        logits = torch.rand(len(path), len(TOKENS))
        logits[range(len(path)), path] += sureness
        return logits.log_softmax(-1)

    return make
