"""Our model in vLLM: samples in, vLLM's own class of the LLM behind our speech modules. Only vLLM imports this file."""

from dataclasses import replace
from typing import Iterable, List, Mapping, Optional, Set, Tuple

import torch
from torch import Tensor, nn
from transformers import BatchFeature
from vllm.config import SpeechToTextConfig
from vllm.inputs import TokensPrompt
from vllm.model_executor.models.interfaces import SupportsMultiModal, SupportsTranscription
from vllm.model_executor.models.utils import init_vllm_registered_model, maybe_prefix
from vllm.model_executor.models.whisper_utils import ISO639_1_SUPPORTED_LANGS
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import AudioProcessorItems, MultiModalDataParser
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    PromptIndexTargets,
    PromptInsertion,
)

from espnet_llmasr.vllm_plugin.speech import Pack, open_pack

LONGEST_S = 20  # the server cuts longer recordings, as bin.transcribe does
PLACE = 0  # the token id at the places of speech, whose embedding is never looked at


class Info(BaseProcessingInfo):
    """What vLLM asks about the input."""

    @property
    def pack(self) -> Pack:
        return open_pack(self.ctx.model_config.model)

    def get_data_parser(self) -> MultiModalDataParser:
        return MultiModalDataParser(target_sr=self.pack.rate, target_channels=1)

    def get_supported_mm_limits(self) -> Mapping[str, int]:
        return {"audio": 1}

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:
        return {"audio": self.pack.speech_tokens(LONGEST_S * self.pack.rate)}


class DummyInputs(BaseDummyInputsBuilder[Info]):
    """The longest piece, of which vLLM measures the memory."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return ""

    def get_dummy_mm_data(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping) -> dict:
        length = LONGEST_S * self.info.pack.rate
        return {"audio": self._get_dummy_audios(length=length, num_audios=mm_counts.get("audio", 0))}


class Processor(BaseMultiModalProcessor[Info]):
    """Puts the places of the speech tokens into the prompt; the features are made in the model."""

    def get_dummy_inputs(self, *args, **kwargs):
        prompt = self.info.pack.before + self.info.pack.after
        return replace(super().get_dummy_inputs(*args, **kwargs), prompt=prompt)

    def _call_hf_processor(self, hf_data: Mapping, hf_kwargs: Mapping) -> BatchFeature:
        return BatchFeature({"samples": [torch.as_tensor(each, dtype=torch.float32) for each in hf_data["audio"]]})

    def _get_mm_fields_config(self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping) -> Mapping:
        return {"samples": MultiModalFieldConfig.batched("audio")}

    def _get_prompt_updates(self, mm_items, hf_processor_mm_kwargs: Mapping, out_mm_kwargs) -> List[PromptInsertion]:
        pack = self.info.pack

        def places(number: int) -> List[int]:
            audios = mm_items.get_items("audio", AudioProcessorItems)  # vLLM has none for a recording in its cache
            return [PLACE] * pack.speech_tokens(audios.get_audio_length(number))

        return [PromptInsertion("audio", PromptIndexTargets.prefix(pack.before), places)]


@MULTIMODAL_REGISTRY.register_processor(Processor, info=Info, dummy_inputs=DummyInputs)
class LLMASRForVLLM(nn.Module, SupportsMultiModal, SupportsTranscription):
    """Speech modules of the pack in fp32, the LLM in the type that vLLM was asked for."""

    supports_transcription_only = True
    supported_languages = ISO639_1_SUPPORTED_LANGS  # the model was trained for some of them; it is not told which
    allow_patterns_overrides = ["model.safetensors"]  # and not ctc.safetensors, the guard's

    def __init__(self, *, vllm_config, prefix: str = ""):
        super().__init__()
        config = vllm_config.model_config.hf_config.text_config
        self.speech = open_pack(vllm_config.model_config.model).build(config.hidden_size)
        self.llm = init_vllm_registered_model(
            vllm_config, prefix=maybe_prefix(prefix, "llm"), hf_config=config, architectures=config.architectures
        )

    def load_weights(self, weights: Iterable[Tuple[str, Tensor]]) -> Set[str]:
        """Gives the LLM's weights to vLLM's class, one after the other, and returns the names of all that were loaded."""
        speech = {}

        def of_llm() -> Iterable[Tuple[str, Tensor]]:
            for name, value in weights:
                if name.startswith("llm."):
                    yield name.removeprefix("llm."), value
                else:
                    speech[name] = value

        loaded = {f"llm.{name}" for name in self.llm.load_weights(of_llm())}
        speech.pop("swap_step", None)
        self.speech.load_state_dict(speech)
        return loaded | {f"speech.{name}" for name in speech}

    def embed_multimodal(self, samples: Optional[Iterable[Tensor]] = None, **kwargs) -> List[Tensor]:
        return [] if samples is None else self.speech(list(samples))

    def forward(self, input_ids, positions, intermediate_tensors=None, inputs_embeds=None, **kwargs) -> Tensor:
        return self.llm(input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds)

    def compute_logits(self, hidden_states: Tensor) -> Optional[Tensor]:
        return self.llm.compute_logits(hidden_states)

    @classmethod
    def get_speech_to_text_config(cls, model_config, task_type: str) -> SpeechToTextConfig:
        return SpeechToTextConfig(sample_rate=open_pack(model_config.model).rate, max_audio_clip_s=LONGEST_S)

    @classmethod
    def get_generation_prompt(cls, stt_params) -> TokensPrompt:
        """Raises ValueError for a translation, which the model has not learnt."""
        if stt_params.task_type != "transcribe":
            raise ValueError(f"this model cannot {stt_params.task_type}: ask /v1/audio/transcriptions")
        return TokensPrompt(**open_pack(stt_params.model_config.model).prompt_of(stt_params.audio))

    @classmethod
    def post_process_output(cls, text: str) -> str:
        return " ".join(text.split())
