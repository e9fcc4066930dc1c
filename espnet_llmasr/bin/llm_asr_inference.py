"""Transcribes speech by beam search: python -m espnet_llmasr.bin.llm_asr_inference --llm_asr_train_config ..."""

import logging
from pathlib import Path
from typing import List, NamedTuple, Optional

import numpy as np
import torch
from scipy.signal import resample_poly

from espnet_llmasr.bin._cli import Parser, at_least, device, run
from espnet_llmasr.files import PathLike, read_scp, write_scp
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.speech_batches import shard, speech_batches


class Hypothesis(NamedTuple):
    """A transcript and its mean log-probability per token."""

    text: str
    score: float


class Speech2Text:
    """A trained model ready to transcribe.

    The arguments are named as in the packed archive's meta.yaml, so that `from_pretrained` needs nothing else.
    """

    def __init__(
        self,
        llm_asr_train_config: PathLike,
        llm_asr_model_file: PathLike,
        device: str = "cpu",
        beam_size: int = 3,
        tokens_per_second: float = 15.0,
    ):
        self.model, args = LLMASRTask.load(llm_asr_train_config, llm_asr_model_file, device)
        self.prompt = LLMASRTask.build_prompt(args)
        self.device, self.beam_size, self.tokens_per_second = device, beam_size, tokens_per_second
        self.sample_rate: int = self.model.frontend.fs

    @classmethod
    def from_pretrained(cls, model_tag: str, **kwargs) -> "Speech2Text":
        """Loads a packed model: a model-zoo tag, a URL or a local archive."""
        from espnet_model_zoo.downloader import ModelDownloader

        return cls(**ModelDownloader().download_and_unpack(model_tag), **kwargs)

    def __call__(self, speech: np.ndarray, fs: Optional[int] = None) -> Hypothesis:
        """speech (N,) in [-1, 1] at `fs` Hz (others than the model's are resampled) -> the best hypothesis."""
        if fs not in (None, self.sample_rate):
            speech = resample_poly(speech, self.sample_rate, fs)
        samples = torch.as_tensor(np.asarray(speech, dtype=np.float32))[None]
        return self.batch(samples, torch.tensor([samples.size(1)]))[0]

    def batch(self, speech: torch.Tensor, lengths: torch.Tensor) -> List[Hypothesis]:
        """speech (B, N) right-padded, lengths (B,) -> the best hypothesis of each."""
        ids, scores = self.model.generate(
            speech.to(self.device),
            lengths.to(self.device),
            torch.tensor(self.prompt.ids, device=self.device),
            self.prompt.end_id,
            self.beam_size,
            self.tokens_per_second,
            self.sample_rate,
        )
        return [Hypothesis(self.prompt.decode(row), score) for row, score in zip(ids, scores.tolist())]


def get_parser() -> Parser:
    """The options of this command."""
    parser = Parser(description=__doc__)
    parser.add_argument("--llm_asr_train_config", required=True, help="config.yaml of the training")
    parser.add_argument("--llm_asr_model_file", required=True, help="weights (*.pth)")
    parser.add_argument("--data_dir", type=Path, required=True, help="dump/<set> with wav.scp and utt2num_frames")
    parser.add_argument("--output_dir", type=Path, required=True, help="text and score are written here")
    parser.add_argument("--shard", default="1/1", help="transcribe only part i of n")
    parser.add_argument("--beam_size", type=at_least(1), default=3, help="beams")
    parser.add_argument("--tokens_per_second", type=float, default=15.0, help="token limit of an utterance per second")
    parser.add_argument("--max_frames", type=at_least(1), default=10000, help="padded frames per batch")
    parser.add_argument("--device", type=device, default="cpu", help="cpu or cuda")
    return parser


def main(argv=None):
    """Writes <output_dir>/text[.i] and score[.i]."""
    args = get_parser().parse_args(argv)
    speech2text = Speech2Text(
        args.llm_asr_train_config, args.llm_asr_model_file, args.device, args.beam_size, args.tokens_per_second
    )
    wavs = read_scp(args.data_dir / "wav.scp")
    if not wavs:
        raise ValueError(f"{args.data_dir}/wav.scp is empty: run the data stage (2)")
    wavs = {uid: wavs[uid] for uid in shard(sorted(wavs), args.shard)}
    frames = read_num_frames(args.data_dir / "utt2num_frames")
    hypotheses = {}
    batches = speech_batches(wavs, frames, args.max_frames, speech2text.sample_rate) if wavs else ()
    for uids, speech, lengths in batches:
        hypotheses.update(zip(uids, speech2text.batch(speech, lengths)))
        logging.info("%d of %d utterances: %s '%s'", len(hypotheses), len(wavs), uids[-1], hypotheses[uids[-1]].text)
    number, total = args.shard.split("/")
    suffix = "" if total == "1" else f".{number}"
    write_scp(args.output_dir / f"text{suffix}", {uid: hypothesis.text for uid, hypothesis in hypotheses.items()})
    write_scp(args.output_dir / f"score{suffix}", {uid: f"{best.score:.4f}" for uid, best in hypotheses.items()})


if __name__ == "__main__":
    run(main)
