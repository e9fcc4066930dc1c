"""The config.json of a pack as transformers' configuration: what vLLM asks before it loads a model."""

from typing import Optional

from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from espnet_llmasr.zoo.load import MODEL_TYPE

VLLM = ">=0.32,<0.33"
"""The versions of vLLM whose interface model.py is written for."""


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


class OtherVersion(PretrainedConfig):
    """Ends the process in one line. vLLM makes a long traceback of any other exception of a configuration."""

    model_type = MODEL_TYPE

    def __init__(self, **kwargs):
        import vllm

        found = f"espnet_llmasr's plugin is for vLLM {VLLM}, this is {vllm.__version__}"
        raise SystemExit(f"{found}: it cannot serve our models; pip install 'vllm{VLLM}'")
