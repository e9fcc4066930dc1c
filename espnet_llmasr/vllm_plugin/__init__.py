"""The plugin with which vLLM serves a packed model (docs/vllm.md). vLLM itself is imported only when it calls `register`."""


def register() -> None:
    """Tells vLLM our architecture: entry point of `vllm.general_plugins`, called in each of its processes.

    Another version of vLLM ends with one line when it opens one of our models, and still serves others.
    """
    import vllm
    from packaging.specifiers import SpecifierSet
    from transformers import AutoConfig

    from espnet_llmasr.vllm_plugin.config import VLLM, LLMASRConfig, OtherVersion
    from espnet_llmasr.zoo.load import ARCHITECTURE

    if not SpecifierSet(VLLM).contains(vllm.__version__, prereleases=True):
        AutoConfig.register(OtherVersion.model_type, OtherVersion, exist_ok=True)
        return
    AutoConfig.register(LLMASRConfig.model_type, LLMASRConfig, exist_ok=True)
    vllm.ModelRegistry.register_model(ARCHITECTURE, "espnet_llmasr.vllm_plugin.model:LLMASRForVLLM")
