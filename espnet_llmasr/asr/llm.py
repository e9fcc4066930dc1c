"""The LLM decoder: prepared once from a released LLM, then built from packed files, never downloaded at load time.

S prompt tokens, V vocabulary, E LLM width.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Tuple, Union

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from espnet_llmasr.asr.gguf import SUFFIX, read_gguf
from espnet_llmasr.asr.lora import fit_state
from espnet_llmasr.asr.pretrained import check_weights, load_model, naming_damage
from espnet_llmasr.asr.shipped import SMOLLM2
from espnet_llmasr.asr.weights import load_state
from espnet_llmasr.files import read_json, read_text
from espnet_llmasr.text.prompt import SPEECH_ID, Prompt

TOLERANCE = 1e-3  # of logits that are computed in two ways, as a share of the largest one
AGAIN = "prepare the LLM again (stage 4)"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def build_llm(config_file: Union[str, Path]) -> PreTrainedModel:
    """An LLM with random weights from a Hugging Face config.json; weights come by checkpoint or `--init_param`.

    Weights are fp32. For bf16 use autocast; a cast of the whole module would also round the rotary frequencies.
    transformers chooses the attention, since some LLMs (Gemma-2) have only its plain form. Weights of an LLM with LoRA
    are merged when they are loaded.
    """
    path = _local(config_file, "config.json")
    read_json(path)
    with naming_damage(path, AGAIN):
        config = AutoConfig.from_pretrained(path.parent)
        llm = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    llm.register_load_state_dict_pre_hook(fit_state)
    return llm


def load_tokenizer(tokenizer_file: Union[str, Path]):
    """The tokenizer from the directory that holds `tokenizer_file` (tokenizer.json)."""
    path = _local(tokenizer_file, "tokenizer.json")
    refuse_damaged(path.parent)
    with naming_damage(path, AGAIN):
        return AutoTokenizer.from_pretrained(path.parent)


def refuse_damaged(folder: Path) -> None:
    """Raises ValueError, with its name, for a file of an LLM that is no JSON object or no text (a pointer of Git LFS)."""
    names = (*TOKENIZER_FILES, "config.json", "generation_config.json")
    for path in (*(folder / name for name in names), *folder.glob("*.index.json")):
        if path.exists():
            read_text(path) if path.suffix == ".jinja" else read_json(path)


def _local(path: Union[str, Path, None], name: str) -> Path:
    file = Path(path or "")
    if file.name != name or not file.is_file():
        raise ValueError(f"expected the file {name} of the LLM, found '{path}': run the LLM-preparation stage")
    return file


def load_llm(name: str, **prompt_options) -> Tuple[Prompt, PreTrainedModel]:
    """Prompt and model in fp32 of a released LLM: a name on the hub, a directory, a .gguf file, or smollm2.

    Args:
        prompt_options: `instruction` and `system` of `Prompt.render`.
    Raises:
        ValueError: a directory without config.json, weights that are missing or broken, no model of text, or see
            `Prompt.render` and `read_gguf`.
        OSError: no such name on the hub, or no network.
    """
    if name == SMOLLM2 or name.endswith(SUFFIX):
        tokenizer, model = read_gguf(name)
        return Prompt.render(tokenizer, **prompt_options), model
    if name.startswith((".", "/")) and not Path(name, "config.json").is_file():
        raise ValueError(f"--llm {name} has no config.json: give the directory of an LLM, or its name on the hub")
    refuse_damaged(Path(name))
    tokenizer = AutoTokenizer.from_pretrained(name)
    if not tokenizer.is_fast:
        raise ValueError(f"--llm {name} has no tokenizer.json, and none can be made of its tokenizer: take another LLM")
    prompt = Prompt.render(tokenizer, **prompt_options)  # first, since it takes no time
    model, missing = load_model(name, torch.float32, AutoModelForCausalLM)
    check_weights(name, missing)
    return prompt, text_model(model)


def text_model(model: PreTrainedModel) -> PreTrainedModel:
    """The LLM in a model of text and images (Gemma-3 4B and larger), whose own class cannot generate from embeddings.

    A model of text alone is returned as it is. Raises ValueError if the text model is of a kind of its own.
    """
    config = model.config.get_text_config()
    if config is model.config:
        return model
    with torch.device("meta"):  # only the frame around the layers, which are taken from the model
        llm = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    layers = model.get_decoder()
    if type(llm.base_model) is not type(layers):
        raise ValueError(f"the LLM {type(model).__name__} has no text model that can be taken out: take another LLM")
    setattr(llm, llm.base_model_prefix, layers)
    llm.set_output_embeddings(model.get_output_embeddings())
    return llm


@torch.no_grad()
def try_llm(prompt: Prompt, model: PreTrainedModel) -> None:
    """Does with a prepared LLM what a training and a decoding do, so that nothing fails after days of pretraining.

    The tokenizer and the configuration are saved and loaded again; a forward pass from embeddings (1, S, E) must give
    the same logits (1, S, V) as one of `model` from tokens; beam search from embeddings must give two tokens.

    Raises:
        ValueError: one of these does not work with this LLM.
    """
    with TemporaryDirectory() as directory:
        prompt.tokenizer.save_pretrained(directory)
        model.config.save_pretrained(directory)
        _try_tokenizer(prompt, Path(directory, "tokenizer.json"))
        llm = build_llm(Path(directory, "config.json")).eval()
    load_state(llm, model.state_dict(), "the weights of the LLM", "its configuration")
    ids = torch.tensor([[prompt.end_id if token == SPEECH_ID else token for token in prompt.ids]])
    mask = torch.ones_like(ids)
    ends = dict(eos_token_id=prompt.end_id, pad_token_id=prompt.end_id)
    two = dict(min_new_tokens=2, max_new_tokens=2, num_beams=2, do_sample=False)
    try:
        expected = model.eval()(input_ids=ids, attention_mask=mask, use_cache=False).logits
        embedded = llm.get_input_embeddings()(ids)
        logits = llm(inputs_embeds=embedded, attention_mask=mask, use_cache=False).logits
        llm.generate(inputs_embeds=embedded, attention_mask=mask, **two, **ends)
    except Exception as error:  # the code of any LLM may raise anything
        raise ValueError(
            f"the LLM {type(llm).__name__} cannot decode from embeddings ({error}): take another LLM"
        ) from error
    difference, largest = (logits - expected).abs().max().item(), expected.abs().max().item()
    if not difference <= TOLERANCE * largest:  # also not if a logit is no number
        raise ValueError(
            f"the LLM {type(llm).__name__} computes other logits from embeddings than from tokens (they differ by "
            f"{difference:.1e}, the largest is {largest:.1e}): take another LLM"
        )


def _try_tokenizer(prompt: Prompt, tokenizer_file: Path) -> None:
    """Raises ValueError if a saved tokenizer encodes differently, or a special token in a transcript ends it."""
    saved, transcript = Prompt(load_tokenizer(tokenizer_file), **prompt.saved), f"five{prompt.end_token}two"
    target = saved.target(transcript)
    if saved.ids != prompt.ids or target != prompt.target(transcript):
        raise ValueError("the tokenizer of the LLM encodes differently after it has been saved: take another LLM")
    if target.count(prompt.end_id) != 1:
        raise ValueError(
            f"the LLM's tokenizer cannot encode {prompt.end_token} in a transcript as text: take another LLM"
        )
