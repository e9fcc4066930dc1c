"""Greedy transcripts of a Kaldi directory by vLLM, and how many are our own (docs/vllm.md); in vLLM's environment.

VLLM_CPU_KVCACHE_SPACE=1 python benchmarks/vllm_greedy.py exp/pack dump/test exp/greedy/text > text
"""

import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # read by the import
from vllm import LLM, SamplingParams  # noqa: E402

from espnet_llmasr import audio  # noqa: E402
from espnet_llmasr.files import read_scp  # noqa: E402
from espnet_llmasr.vllm_plugin.speech import open_pack  # noqa: E402


def main(folder: str, data: str, ours: str) -> None:
    """Prints `id text` lines, and to stderr how many of `ours` are equal and the ids of the others.

    The token limit of an utterance is ours: ceil(15 a second) + 16 with the end token.
    """
    pack, entries = open_pack(folder), read_scp(Path(data, "wav.scp"))
    speech = [audio.read(entry, pack.rate) for entry in entries.values()]
    seconds = np.array([len(samples) / pack.rate for samples in speech], np.float32)
    sampling = [SamplingParams(temperature=0.0, max_tokens=int(np.ceil(15 * each)) + 15) for each in seconds]
    llm = LLM(folder, tokenizer=f"{folder}/llm", dtype="float32", enforce_eager=True, max_model_len=1024)
    results = llm.generate([pack.prompt_of(samples) for samples in speech], sampling)
    found = {uid: " ".join(result.outputs[0].text.split()) for uid, result in zip(entries, results)}
    expected = read_scp(Path(ours))
    for uid, text in found.items():
        print(uid, text)
    other = [uid for uid, text in found.items() if text != " ".join(expected.get(uid, "").split())]
    print(f"{len(found) - len(other)} of {len(found)} transcripts are equal", *other, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
