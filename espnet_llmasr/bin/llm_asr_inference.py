"""Transcribes speech by beam search: python -m espnet_llmasr.bin.llm_asr_inference --llm_asr_train_config ..."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
import torch
from scipy.signal import resample_poly

from espnet_llmasr.asr.llm_asr_model import Candidate, Search
from espnet_llmasr.cli import Parser, at_least, device, run
from espnet_llmasr.files import PathLike, read_scp, write_atomically, write_scp
from espnet_llmasr.guard.guard import MODES, Guard, Hypothesis
from espnet_llmasr.guard.trial import read_langs
from espnet_llmasr.guard.verifier import Witness
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train.batches import read_num_frames
from espnet_llmasr.train.speech_batches import shard, speech_batches

WIDER = 3  # times as many beams in a second decoding, all of them candidates


class Speech2Text:
    """A trained model ready to transcribe.

    The arguments are named as in the packed archive's meta.yaml, so that `from_pretrained` needs nothing else. A guard
    ("flag" or "redecode") needs the CTC head, with its guard.json beside the weights.

    Raises:
        ValueError: files that are missing or do not belong together.
    """

    def __init__(
        self,
        llm_asr_train_config: PathLike,
        llm_asr_model_file: PathLike,
        device: str = "cpu",
        beam_size: int = 3,
        tokens_per_second: float = 15.0,
        guard: str = "off",
        ctc_train_config: Optional[PathLike] = None,
        ctc_model_file: Optional[PathLike] = None,
    ):
        check_guard(guard, ctc_train_config, ctc_model_file)
        self.model, args = LLMASRTask.load(llm_asr_train_config, llm_asr_model_file, device)
        self.prompt = LLMASRTask.build_prompt(args)
        self.device, self.mode = device, guard
        self.sample_rate: int = self.model.frontend.fs
        self.search = Search(beam_size, tokens_per_second, stop_loops=guard != "off")
        self.guard = None
        if guard != "off":
            witness = Witness(ctc_train_config, ctc_model_file, device)
            self.guard = Guard(witness, Path(ctc_model_file).with_name("guard.json"), self.prompt.decode)
            self.guard.attend(self.model, args)

    @classmethod
    def from_pretrained(cls, model_tag: str, **kwargs) -> "Speech2Text":
        """Loads a packed model: a model-zoo tag, a URL or a local archive."""
        from espnet_model_zoo.downloader import ModelDownloader

        return cls(**ModelDownloader().download_and_unpack(model_tag), **kwargs)

    def __call__(self, speech: np.ndarray, fs: Optional[int] = None, lang: str = "") -> Hypothesis:
        """speech (N,) in [-1, 1] at `fs` Hz (others than the model's are resampled) -> the best hypothesis.

        Only the guard asks for `lang` (as in utt2lang), and only where it is "yue".
        """
        if fs not in (None, self.sample_rate):
            speech = resample_poly(speech, self.sample_rate, fs)
        samples = torch.as_tensor(np.asarray(speech, dtype=np.float32))[None]
        return self.batch(samples, torch.tensor([samples.size(1)]), [lang])[0]

    @torch.no_grad()
    def batch(
        self, speech: torch.Tensor, lengths: torch.Tensor, langs: Optional[Sequence[str]] = None
    ) -> List[Hypothesis]:
        """speech (B, N) right-padded, lengths (B,), languages (B) -> the best hypothesis of each."""
        speech, lengths = speech.to(self.device), lengths.to(self.device)
        frames, frame_lengths = self.model.encode(speech, lengths)
        seconds = lengths / self.sample_rate
        best = [found[0] for found in self._generate(frames, frame_lengths, seconds, self.search)]
        if self.guard is None:
            return [Hypothesis(self.prompt.decode(one.ids), one.score) for one in best]
        heard = self.guard.listen(speech, lengths, frames, frame_lengths)
        langs = langs or [""] * len(best)
        checked = [self.guard.check(*row) for row in zip(heard, best, langs)]
        rows = [number for number, one in enumerate(checked) if self.guard.is_doubtful(one)]
        if self.mode == "redecode" and rows:
            beams = WIDER * self.search.beam_size
            search = replace(self.search, beam_size=beams, candidates=beams)
            longest = int(frame_lengths[rows].max())
            found = self._generate(frames[rows, :longest], frame_lengths[rows], seconds[rows], search)
            for row, candidates in zip(rows, found):
                checked[row] = self.guard.choose(heard[row], checked[row], candidates, langs[row])
        return checked

    def _generate(self, frames, frame_lengths, seconds, search: Search) -> List[List[Candidate]]:
        prompt = torch.tensor(self.prompt.ids, device=self.device)
        return self.model.generate_from(frames, frame_lengths, seconds, prompt, self.prompt.end_id, search)


def check_guard(guard: str, *files: Optional[PathLike]) -> None:
    """Raises ValueError for an unknown guard, or one without its CTC head."""
    if guard not in MODES:
        raise ValueError(f"unknown guard '{guard}': choose one of {', '.join(MODES)}")
    if guard == "off":
        return
    advice = "run stage 10, which fits and calibrates it, or decode with --guard off"
    for name, path in zip(("ctc_train_config", "ctc_model_file"), files):
        if path is None:
            raise ValueError(f"--guard {guard} needs --{name}, of the CTC head: {advice}")
        if not Path(path).is_file():
            raise ValueError(f"no file {path}, which --guard {guard} needs: {advice}")


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
    parser.add_argument(
        "--guard", default="off", help="off, flag, or redecode what is in doubt, with 3 times the beams"
    )
    parser.add_argument("--ctc_train_config", help="of the guard: config.yaml of the CTC head")
    parser.add_argument("--ctc_model_file", help="of the guard: weights of the CTC head; guard.json lies beside them")
    return parser


def transcribe(args, speech2text: Speech2Text) -> Dict[str, Hypothesis]:
    """Hypotheses of the utterances of a data directory, or of a part of them."""
    wavs = read_scp(args.data_dir / "wav.scp")
    if not wavs:
        raise ValueError(f"{args.data_dir}/wav.scp is empty: run the data stage (2)")
    wavs = {uid: wavs[uid] for uid in shard(sorted(wavs), args.shard)}
    frames = read_num_frames(args.data_dir / "utt2num_frames")
    langs = read_langs(args.data_dir)
    hypotheses = {}
    batches = speech_batches(wavs, frames, args.max_frames, speech2text.sample_rate) if wavs else ()
    for uids, speech, lengths in batches:
        hypotheses.update(zip(uids, speech2text.batch(speech, lengths, [langs.get(uid, "") for uid in uids])))
        logging.info("%d of %d utterances: %s '%s'", len(hypotheses), len(wavs), uids[-1], hypotheses[uids[-1]].text)
    return hypotheses


def write(output_dir: Path, suffix: str, hypotheses: Dict[str, Hypothesis], mode: str) -> None:
    """text and score; under the guard confidence, flagged and redecoded.jsonl, which else are removed."""
    write_scp(output_dir / f"text{suffix}", {uid: one.text for uid, one in hypotheses.items()})
    write_scp(output_dir / f"score{suffix}", {uid: f"{one.score:.4f}" for uid, one in hypotheses.items()})
    for name in ("confidence", "flagged", "redecoded.jsonl"):
        (output_dir / f"{name}{suffix}").unlink(missing_ok=True)
    if mode == "off":
        return
    flagged = {uid: one for uid, one in hypotheses.items() if one.flags}
    write_scp(output_dir / f"confidence{suffix}", {uid: f"{one.confidence:.6f}" for uid, one in hypotheses.items()})
    write_scp(output_dir / f"flagged{suffix}", {uid: ",".join(one.flags) for uid, one in flagged.items()})
    if mode == "redecode":
        rows = sorted((uid, one) for uid, one in hypotheses.items() if one.first)
        lines = (json.dumps({"id": uid, "first": named(one.first), "final": named(one)}) for uid, one in rows)
        write_atomically(output_dir / f"redecoded.jsonl{suffix}", "".join(f"{line}\n" for line in lines))


def named(hypothesis: Hypothesis) -> Dict:
    """A transcript as a dictionary, without what came before it; numbers rounded as in the tables."""
    rounded = hypothesis._replace(score=round(hypothesis.score, 4), confidence=round(hypothesis.confidence, 6))
    return {name: value for name, value in rounded._asdict().items() if name != "first"}


def main(argv=None):
    """Writes <output_dir>/text[.i], score[.i], and with a guard confidence[.i], flagged[.i], redecoded.jsonl[.i]."""
    args = get_parser().parse_args(argv)
    speech2text = Speech2Text(
        args.llm_asr_train_config,
        args.llm_asr_model_file,
        args.device,
        args.beam_size,
        args.tokens_per_second,
        args.guard,
        args.ctc_train_config,
        args.ctc_model_file,
    )
    hypotheses = transcribe(args, speech2text)
    number, total = args.shard.split("/")
    write(args.output_dir, "" if total == "1" else f".{number}", hypotheses, args.guard)
    if args.guard != "off":
        flagged = sum(bool(one.flags) for one in hypotheses.values())
        logging.info("the guard has flagged %d of %d utterances", flagged, len(hypotheses))


if __name__ == "__main__":
    run(main)
