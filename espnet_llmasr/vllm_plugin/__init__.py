"""The plugin with which vLLM serves a packed model (docs/vllm.md). vLLM itself is imported only when it calls `register`."""

import logging

VLLM = ">=0.32,<0.33"
"""The versions of vLLM whose interface model.py is written for."""


def register() -> None:
    """Tells vLLM our architecture: entry point of `vllm.general_plugins`, called in each of its processes.

    Another version of vLLM gets one line in its log and no architecture, so that it still serves other models.
    """
    import vllm
    from packaging.specifiers import SpecifierSet
    from transformers import AutoConfig

    from espnet_llmasr.vllm_plugin.config import LLMASRConfig
    from espnet_llmasr.zoo.load import ARCHITECTURE

    if not SpecifierSet(VLLM).contains(vllm.__version__, prereleases=True):
        logging.getLogger("vllm.espnet_llmasr").error(
            "espnet_llmasr's plugin is for vLLM %s, this is %s: it cannot serve our models; pip install 'vllm%s'",
            *(VLLM, vllm.__version__, VLLM),
        )
        return
    AutoConfig.register(LLMASRConfig.model_type, LLMASRConfig, exist_ok=True)
    vllm.ModelRegistry.register_model(ARCHITECTURE, "espnet_llmasr.vllm_plugin.model:LLMASRForVLLM")
