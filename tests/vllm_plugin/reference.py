"""Run in the ordinary environment: packs of untrained tiny models with our own greedy transcripts, for test_vllm.py.

    python tests/vllm_plugin/reference.py OUT

OUT/<family>/pack is a pack; OUT/<family>/greedy.json has the token ids of the clips in OUT/clips.npz.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3ForCausalLM

from espnet_llmasr import Speech2Text
from espnet_llmasr.asr.fbank import KaldiFbank, write_statistics
from espnet_llmasr.inference.search import beam_search
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.text.prompt import Prompt
from espnet_llmasr.train import small_llm
from espnet_llmasr.train.checkpoints import LAST_OPTION, write_config
from espnet_llmasr.zoo.pack import Parts, pack

FS = 16000
ENCODER = dict(output_size=64, num_blocks=2, attention_heads=2, kernel_size=9, dropout_rate=0.1, pe_maxlen=200)
LINES = ["red cat", "blue dog", "green 你 好", "天 气"] * 3
COUNTED = 400  # encoder input frames up to which the numbers of speech tokens are compared


def qwen3(tokenizer, tied: bool):
    config = small_llm.build(tokenizer, hidden_size=64, num_layers=2).config
    config.tie_word_embeddings = tied
    return Qwen3ForCausalLM(config)


def llama(tokenizer):
    sizes = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2)
    sizes |= dict(vocab_size=len(tokenizer), num_key_value_heads=1, max_position_embeddings=2048)
    return LlamaForCausalLM(LlamaConfig(**sizes))


FAMILIES = {
    "qwen3": lambda tokenizer: qwen3(tokenizer, tied=False),
    "qwen3_tied": lambda tokenizer: qwen3(tokenizer, tied=True),
    "llama": llama,
}


def clips() -> list:
    """Noise in bursts of many lengths (N,): one speech token, every remainder of the adaptor, up to seven seconds."""
    rng = np.random.default_rng(0)
    frames = [*range(7, 60, 3), *range(60, 400, 23), 500, 700]
    made = []
    for number in frames:
        size = 400 + 160 * (number - 1) + int(rng.integers(0, 160))
        loudness = np.repeat(rng.uniform(0, 0.3, 1 + size // 1600), 1600)[:size]
        made.append((loudness * rng.standard_normal(size)).clip(-1, 1).astype(np.float32))
    return made


def write_llm(folder: Path, family: str) -> None:
    tokenizer = small_llm.train_tokenizer(LINES, 290)
    torch.manual_seed(1)
    llm = FAMILIES[family](tokenizer)
    for parameter in llm.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(5.0)  # else the speech does not change the transcript
    folder.mkdir(parents=True)
    small_llm.save_llm(folder, Prompt.render(tokenizer), llm)


def write_pack(out: Path, family: str, samples: list) -> Path:
    """The pack of a model with random weights, whose features are normalised by statistics of these clips."""
    write_llm(out / "llm", family)
    frontend = KaldiFbank(FS)
    feats = torch.cat([frontend(torch.from_numpy(one)[None], np.array([len(one)]))[0][0] for one in samples]).double()
    write_statistics(out / "feats_stats.npz", len(feats), feats.sum(0).numpy(), feats.square().sum(0).numpy())
    options = ["--output_dir", str(out), "--llm_config", f"{out}/llm/config.json"]
    args = LLMASRTask.get_parser().parse_args([*options, "--llm_tokenizer", f"{out}/llm/tokenizer.json"])
    args.encoder_conf, args.normalize_conf = ENCODER, {"stats_file": f"{out}/feats_stats.npz"}
    args.prompt = LLMASRTask.build_prompt(args).saved
    torch.manual_seed(2)
    model = LLMASRTask.build_model(args)
    model.llm.load_state_dict(torch.load(out / "llm/llm.pth", weights_only=True))
    torch.save(model.state_dict(), out / "model.pth")
    write_config(out / "config.yaml", {**vars(args), LAST_OPTION: False})
    pack(Parts(out / "config.yaml", out / "model.pth"), out / "pack")
    return out / "pack"


def greedy(model: Speech2Text, samples: np.ndarray) -> list:
    """Our token ids of one clip, without the end token."""
    length = np.array([len(samples)])
    frames, lengths = model.model.encode(torch.from_numpy(samples)[None], length)
    ((best,),) = beam_search(model.model, frames, lengths, length / FS, model.prompt, model.options)
    return best.ids


@torch.no_grad()
def counts(model: Speech2Text) -> list:
    """The speech tokens that our model makes of 1, 2, ... feature frames; 0 where its encoder refuses them."""
    numbers = []
    for frames in range(1, COUNTED + 1):
        size = 400 + 160 * (frames - 1)
        enough = size >= model.min_samples
        numbers.append(model.model.embed_speech(torch.zeros(1, size), np.array([size]))[0].size(1) if enough else 0)
    return numbers


def main(out: Path) -> None:
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    samples = clips()
    np.savez(out / "clips.npz", *samples)
    for family in FAMILIES:
        model = Speech2Text.from_pretrained(write_pack(out / family, family, samples), beam_size=1)
        found = dict(
            ids=[greedy(model, one) for one in samples],
            texts=[model(one)[0][0] for one in samples],
            limits=model.options.limits(np.array([len(one) / FS for one in samples])).tolist(),
            counts=counts(model),
        )
        (out / family / "greedy.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
