"""The names of all encoders, and the windows of an encoder before it is built.

torch is imported only for an encoder that must be built: stage 2 asks for windows, and torch takes 490 MB.
"""

from functools import lru_cache

from espnet_llmasr.asr.registry import Registry
from espnet_llmasr.audio import Windows

DEFAULT = "firered_conformer"
ENCODERS = {  # name in --encoder -> class, which is a subclass of Encoder or an encoder of ESPnet
    DEFAULT: "espnet_llmasr.asr.conformer.FireRedConformerEncoder",
    "conformer": "espnet2.asr.encoder.conformer_encoder.ConformerEncoder",
    "transformer": "espnet2.asr.encoder.transformer_encoder.TransformerEncoder",
    "branchformer": "espnet2.asr.encoder.branchformer_encoder.BranchformerEncoder",
    "e_branchformer": "espnet2.asr.encoder.e_branchformer_encoder.EBranchformerEncoder",
    "multiconv_conformer": "espnet2.asr.encoder.multiconvformer_encoder.MultiConvConformerEncoder",
    "whisper": "espnet_llmasr.asr.hugging_face_encoder.Whisper",
    "wav2vec2": "espnet_llmasr.asr.hugging_face_encoder.Wav2Vec2",
    "w2v_bert": "espnet_llmasr.asr.hugging_face_encoder.Wav2Vec2BERT",
}
REGISTRY = Registry("encoder", ENCODERS)
FIXED_WINDOWS = {DEFAULT: Windows(size=7, shift=4)}  # of encoders whose options do not change them


@lru_cache(None)
def encoder_class(name: str) -> type:
    """The `Encoder` of a name; a class of ESPnet is returned with our adapter.

    Raises:
        ValueError: there is no encoder of this name, or see `Registry.load`.
    """
    from espnet_llmasr.asr.encoder import Encoder
    from espnet_llmasr.espnet_versions import quiet_imports

    with quiet_imports():
        chosen = REGISTRY.load(name)
    if issubclass(chosen, Encoder):
        return chosen
    from espnet2.asr.encoder.abs_encoder import AbsEncoder  # also where there is no ESPnet, our own encoders work

    if not issubclass(chosen, AbsEncoder):
        raise ValueError(
            f"the encoder '{name}' ({chosen.__module__}.{chosen.__name__}) is neither an Encoder "
            "(espnet_llmasr.asr.encoder) nor an AbsEncoder (ESPnet): derive it from one of them"
        )
    from espnet_llmasr.asr.espnet_encoder import adapted  # this import takes a second

    return adapted(chosen)


def windows_of(name: str, conf: dict, input_size: int) -> Windows:
    """The windows of an encoder with this configuration; the encoder is built without memory.

    Raises:
        ValueError: there is no such encoder, or it does not take these options.
    """
    import torch

    from espnet_llmasr.asr.modules import check_keys

    check_keys(encoder_class(name), "encoder_conf", conf, ())
    with torch.random.fork_rng(devices=[]):  # ESPnet draws some parameters on the CPU even under the device meta
        with torch.device("meta"):
            encoder = encoder_class(name)(**{"input_size": input_size, **conf})
        return encoder.to("meta").windows
