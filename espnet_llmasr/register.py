"""Adds our components to the stock ASR task; the one place that imports espnet2.tasks.asr (slow, tries the network)."""

from argparse import Namespace
from pathlib import Path
from typing import Tuple

from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from espnet2.tasks import asr

from espnet_llmasr.asr.conformer import FireRedConformerEncoder
from espnet_llmasr.asr.cr_ctc_asr_model import CRCTCASRModel
from espnet_llmasr.asr.fbank import KaldiFbank
from espnet_llmasr.asr.weights import load_state, read_state
from espnet_llmasr.espnet_versions import add_loadable_task

COMPONENTS = (
    (asr.frontend_choices, "kaldi_fbank", KaldiFbank, AbsFrontend),
    (asr.encoder_choices, "firered_conformer", FireRedConformerEncoder, AbsEncoder),
    (asr.model_choices, "cr_ctc", CRCTCASRModel, ESPnetASRModel),
)


def register() -> None:
    """Makes --frontend kaldi_fbank, --encoder firered_conformer and --model cr_ctc work in any recipe.

    It also adds the task llm_asr to espnet.load(), if this ESPnet has that function.
    """
    for choices, name, component, base in COMPONENTS:
        assert issubclass(component, base), component
        choices.classes[name] = component
    add_loadable_task("llm_asr", "espnet_llmasr.inference.speech2text", "Speech2Text")


def load_asr(config: Path, weights: Path, device: str = "cpu") -> Tuple[ESPnetASRModel, Namespace]:
    """A model of the stock ASR task, in eval mode, and its configuration.

    Raises:
        ValueError: weights are broken, missing or left over (ESPnet's own loader would be silent), or the configuration
            has unknown options, or names a file that does not exist.
    """
    register()
    try:
        model, args = asr.ASRTask.build_model_from_file(config, device=device)
    except FileNotFoundError as error:
        advice = "run this in the folder of the recipe that trained it"
        raise ValueError(f"{config} needs {error.filename}: {advice}") from error
    except TypeError as error:
        raise ValueError(f"{config} is not of this version of ESPnet: {error}") from error
    load_state(model, read_state(weights), weights, config)
    return model.eval(), args


if __name__ == "__mp_main__":  # the name under which a spawned worker imports this module, see __main__.py
    register()
