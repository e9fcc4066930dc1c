"""The config.json of a pack as transformers' configuration: what vLLM asks before it loads a model."""

from typing import Optional

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from espnet_llmasr.zoo.load import MODEL_TYPE


class LLMASRConfig(PretrainedConfig):
    """`text_config` is the configuration of the LLM; everything else about a model is in the pack's config.yaml."""

    model_type = MODEL_TYPE
    sub_configs = {"text_config": AutoConfig}

    def __init__(self, text_config: Optional[dict] = None, **kwargs):
        if isinstance(text_config, dict):
            text_config = AutoConfig.for_model(**text_config)
        if text_config is not None:  # the class of which our own `build_llm` makes the LLM
            text_config.architectures = [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[text_config.model_type]]
        self.text_config = text_config
        super().__init__(**kwargs)
