"""Adds our components to the stock ASR task; the one place that imports espnet2.tasks.asr (slow, tries the network)."""

from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.tasks import asr

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.cr_ctc_asr_model import CRCTCASRModel
from espnet_llmasr.asr.fbank import KaldiFbank

COMPONENTS = (
    (asr.frontend_choices, "kaldi_fbank", KaldiFbank, AbsFrontend),
    (asr.encoder_choices, "firered_conformer", FireRedConformerEncoder, AbsEncoder),
    (asr.model_choices, "cr_ctc", CRCTCASRModel, ESPnetASRModel),
)


def register() -> None:
    """After this, --frontend kaldi_fbank, --encoder firered_conformer and --model cr_ctc work in any recipe."""
    for choices, name, component, base in COMPONENTS:
        assert issubclass(component, base), component
        choices.classes[name] = component
