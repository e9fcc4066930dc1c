"""`Speech2Text`, the Python interface of a trained model, and the transcription of a data directory.

B batch, N samples, T encoder frames, D encoder width.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr import audio
from espnet_llmasr.asr.modules import on_host
from espnet_llmasr.files import PathLike
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.inference.guard import Guard, check_guard
from espnet_llmasr.inference.hypothesis import Hypothesis
from espnet_llmasr.inference.search import DecodingOptions, beam_search
from espnet_llmasr.inference.transcribe import Source, Transcript, find_sources
from espnet_llmasr.inference.transcribe import transcribe as transcribe_sources
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.train.speech_batches import SpeechSet

WIDER = 3  # the second decoding has this many times the beams, and returns all of them as candidates


class Speech2Text:
    """A trained model ready to transcribe.

    The arguments have the same names as in the packed archive's meta.yaml, from which `from_pretrained` takes them. A
    guard ("flag" or "redecode") needs the CTC head, with its guard.json beside the weights.

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
        windows = self.model.frontend.windows
        self.min_samples: int = windows.size + windows.shift * (self.model.encoder.min_frames - 1)
        self.options = DecodingOptions(beam_size, tokens_per_second, stop_loops=guard != "off")
        self.guard = None
        if guard != "off":
            verifier = CTCVerifier(ctc_train_config, ctc_model_file, device)
            self.guard = Guard(verifier, Path(ctc_model_file).with_name("guard.json"), self.prompt.decode)
            self.guard.bind(self.model, args)

    @classmethod
    def from_pretrained(cls, model_tag: str, **kwargs) -> "Speech2Text":
        """Loads a packed model: a model-zoo tag, a URL or a local archive."""
        from espnet_model_zoo.downloader import ModelDownloader

        return cls(**ModelDownloader().download_and_unpack(model_tag), **kwargs)

    def __call__(
        self, speech: Union[np.ndarray, PathLike], fs: Optional[int] = None, lang: str = ""
    ) -> List[Tuple[str, List[str], List[int], Hypothesis]]:
        """Speech -> one tuple in a list, as ESPnet's Speech2Text returns it: text, tokens, token ids, hypothesis.

        Args:
            speech: samples (N,) in [-1, 1], or the path of a file of any rate; both of any length.
            fs: the rate of the samples in Hz, if it is not the model's.
            lang: a value of utt2lang; it affects only the guard, and only if it is "yue".
        Raises:
            ValueError: a file that cannot be read.
        """
        if isinstance(speech, (str, Path)):
            source = Source("", str(speech), lang)
        else:
            samples = np.asarray(speech, np.float32)
            source = Source("", samples if fs in (None, self.sample_rate) else self._resampled(samples, fs), lang)
        (transcript,) = transcribe_sources([source], self.decode, self.sample_rate)
        if transcript.error:
            raise ValueError(transcript.error)
        ids = self.prompt.target(transcript.text)[:-1]
        return [(transcript.text, self.prompt.tokenizer.convert_ids_to_tokens(ids), ids, transcript.hypothesis)]

    def _resampled(self, samples: np.ndarray, fs: int) -> np.ndarray:
        return audio.resample(samples, fs, self.sample_rate).astype(np.float32)

    def transcribe(
        self,
        files: Union[PathLike, Sequence[PathLike]],
        batch_size: int = 16,
        language: str = "",
        max_frames: int = 10000,
        longest_s: float = 20.0,
    ) -> Iterator[Transcript]:
        """The transcripts of files, folders and Kaldi directories, as they come; "-" is the standard input.

        A file that cannot be read gives a transcript with an `error`, and the others are transcribed.

        Args:
            language: of all recordings, a value of utt2lang. It affects the guard as in a call.
            batch_size, max_frames, longest_s: see `inference.transcribe.transcribe`.
        Raises:
            ValueError: a folder without audio, or a damaged Kaldi table.
        """
        paths = [files] if isinstance(files, (str, Path)) else files
        with find_sources(paths, language) as sources:
            limits = batch_size, max_frames, longest_s
            yield from transcribe_sources(sources, self.decode, self.sample_rate, *limits)

    def decode(self, speech: Sequence[np.ndarray], langs: Sequence[str]) -> List[Hypothesis]:
        """Samples (N,) of each, at the model's rate -> hypotheses; the empty one for less than the encoder needs."""
        rows = {
            row: torch.from_numpy(samples) for row, samples in enumerate(speech) if len(samples) >= self.min_samples
        }
        hypotheses = [Hypothesis("", 0.0)] * len(speech)
        if rows:
            lengths = torch.tensor([len(samples) for samples in rows.values()])
            found = self.batch(pad_sequence([*rows.values()], batch_first=True), lengths, [langs[row] for row in rows])
            for row, hypothesis in zip(rows, found):
                hypotheses[row] = hypothesis
        return hypotheses

    @torch.no_grad()
    def batch(
        self, speech: torch.Tensor, lengths: torch.Tensor, langs: Optional[Sequence[str]] = None
    ) -> List[Hypothesis]:
        """speech (B, N) right-padded, lengths (B,), languages (B) -> the best hypothesis of each."""
        speech, lengths = speech.to(self.device), on_host(lengths)
        frames, frame_lengths = self.model.encode(speech, lengths)
        seconds = lengths / self.sample_rate
        search = beam_search(self.model, frames, frame_lengths, seconds, self.prompt, self.options)
        best = [candidates[0] for candidates in search]
        if self.guard is None:
            return [Hypothesis(self.prompt.decode(candidate.ids), candidate.score) for candidate in best]
        log_probs = self.guard.log_probs(speech, lengths, frames, frame_lengths)
        langs = langs or [""] * len(best)
        verified = [self.guard.verify(*row) for row in zip(log_probs, best, langs)]
        if self.mode == "redecode":
            self._redecode(verified, log_probs, langs, frames, frame_lengths, seconds)
        return [self._with_words(*row) for row in zip(verified, log_probs, langs)]

    def _with_words(self, hypothesis: Hypothesis, log_probs: torch.Tensor, lang: str) -> Hypothesis:
        """The hypothesis with the times and confidences of its words by log_probs (S, V), if it has none yet."""
        if hypothesis.words:
            return hypothesis
        return hypothesis._replace(words=tuple(self.guard.verifier.words(log_probs, hypothesis.text, lang)))

    def _redecode(self, hypotheses: List[Hypothesis], log_probs, langs, frames, frame_lengths, seconds) -> None:
        """Decodes doubtful hypotheses again with more beams; replaces them in the list by the guard's choice."""
        rows = [row for row, hypothesis in enumerate(hypotheses) if self.guard.is_doubtful(hypothesis)]
        if not rows:
            return
        beams = WIDER * self.options.beam_size
        options = replace(self.options, beam_size=beams, candidates=beams)
        lengths = frame_lengths[rows]
        frames = frames[rows, : int(lengths.max())]
        search = beam_search(self.model, frames, lengths, seconds[rows], self.prompt, options)
        for row, candidates in zip(rows, search):
            hypotheses[row] = self.guard.choose(log_probs[row], hypotheses[row], candidates, langs[row])


def transcribe(speech2text: Speech2Text, data_dir: Path, max_frames: int, part: str = "1/1") -> Dict[str, Hypothesis]:
    """Hypotheses of the utterances of dump/<set>, or of part "i/n" of them, in batches of at most `max_frames`.

    Raises:
        ValueError: see `SpeechSet`.
    """
    speech_set = SpeechSet(data_dir)
    hypotheses: Dict[str, Hypothesis] = {}
    for uids, speech, lengths in speech_set.batches(max_frames, speech2text.sample_rate, part):
        langs = [speech_set.langs.get(uid, "") for uid in uids]
        hypotheses.update(zip(uids, speech2text.batch(speech, lengths, langs)))
        logging.info("%d utterances, the last is %s '%s'", len(hypotheses), uids[-1], hypotheses[uids[-1]].text)
    return hypotheses
