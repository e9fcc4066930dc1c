"""`Speech2Text`, the Python interface of a trained model, and the transcription of a data directory.

B batch, N samples, T encoder frames, D encoder width.
"""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr import audio
from espnet_llmasr.asr.modules import on_host
from espnet_llmasr.files import PathLike
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.inference.guard import Guard, check_guard, span, unwritten
from espnet_llmasr.inference.hotwords import HotwordDecoder
from espnet_llmasr.inference.hypothesis import Hypothesis
from espnet_llmasr.inference.long_audio import PAUSE_S
from espnet_llmasr.inference.search import DecodingOptions, beam_search
from espnet_llmasr.inference.transcribe import Source, Transcript, find_sources
from espnet_llmasr.inference.transcribe import transcribe as transcribe_sources
from espnet_llmasr.tasks.llm_asr import LLMASRTask
from espnet_llmasr.text.hotwords import Hotwords, read_hotwords
from espnet_llmasr.train.speech_batches import SpeechSet
from espnet_llmasr.zoo.load import load

WIDER = 3  # the second decoding has this many times the beams, and returns all of them as candidates


class Speech2Text:
    """A trained model ready to transcribe.

    The arguments have the same names as in the packed archive's meta.yaml, from which `from_pretrained` takes them. A
    guard ("flag" or "redecode") needs the CTC head, with its guard.json beside the weights; by default it is "flag"
    with a CTC head and "off" without.

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
        guard: Optional[str] = None,
        ctc_train_config: Optional[PathLike] = None,
        ctc_model_file: Optional[PathLike] = None,
    ):
        guard = guard or ("flag" if ctc_model_file else "off")
        check_guard(guard, ctc_train_config, ctc_model_file)
        self.model, args = LLMASRTask.load(llm_asr_train_config, llm_asr_model_file, device)
        self.prompt = LLMASRTask.build_prompt(args)
        self.device, self.mode = device, guard
        frontend = self.model.frontend
        windows, self.sample_rate = frontend.windows, frontend.fs
        needed = windows.size + windows.shift * (self.model.encoder.min_frames - 1)
        self.min_samples: int = max(frontend.min_samples, needed)
        self.options = DecodingOptions(beam_size, tokens_per_second, stop_loops=guard != "off")
        self.guard = None
        if guard != "off":
            verifier = CTCVerifier(ctc_train_config, ctc_model_file, device)
            self.guard = Guard(verifier, Path(ctc_model_file).with_name("guard.json"), self.prompt.decode)
            self.guard.bind(self.model, args)

    @classmethod
    def from_pretrained(cls, model_tag: str, **kwargs) -> "Speech2Text":
        """Loads a packed model (docs/model_zoo.md): a folder, a zip, a URL, or a name in the model zoo or on the Hub.

        `kwargs` are other arguments of the constructor, such as device and guard, or another CTC head. Raises as
        `zoo.load.load`.
        """
        return cls(**{**load(model_tag), **kwargs})

    def __call__(
        self,
        speech: Union[np.ndarray, PathLike],
        fs: Optional[int] = None,
        lang: str = "",
        hotwords: Optional[HotwordDecoder] = None,
    ) -> List[Tuple[str, List[str], List[int], Hypothesis]]:
        """Speech -> one tuple in a list, as ESPnet's Speech2Text returns it: text, tokens, token ids, hypothesis.

        Args:
            speech: samples (N,) or (N, channels), floats in [-1, 1] or signed integers, or the path of a file of any
                rate; both of any length.
            fs: the rate of the samples in Hz, if it is not the model's.
            lang: a value of utt2lang; it affects only the guard, and only if it is "yue".
            hotwords: see the method of this name.
        Raises:
            ValueError: a file that cannot be read, or samples that `audio.of_array` refuses.
        """
        if isinstance(speech, (str, Path)):
            source = Source("", str(speech), lang)
        else:
            fs = self.sample_rate if fs is None else fs
            source = Source("", audio.of_array(speech, fs, self.sample_rate), lang)
        (transcript,) = transcribe_sources([source], partial(self.decode, hotwords=hotwords), self.sample_rate)
        if transcript.error:
            raise ValueError(transcript.error)
        ids = self.prompt.target(transcript.text)[:-1]
        return [(transcript.text, self.prompt.tokenizer.convert_ids_to_tokens(ids), ids, transcript.hypothesis)]

    def transcribe(
        self,
        files: Union[PathLike, Sequence[PathLike]],
        batch_size: int = 16,
        language: str = "",
        hotwords: Union[PathLike, Sequence[str], HotwordDecoder, None] = None,
        max_frames: int = 10000,
        longest_s: float = 20.0,
        pause_s: float = PAUSE_S,
    ) -> Iterator[Transcript]:
        """The transcripts of files, folders and Kaldi directories, as they come; "-" is the standard input.

        A file that cannot be read gives a transcript with an `error`, and the others are transcribed.

        Args:
            language: of all recordings, a value of utt2lang. It affects the guard as in a call.
            hotwords: names and rare words, or a file with one a line: see the method of this name.
            batch_size, max_frames, longest_s, pause_s: see `inference.transcribe.transcribe`.
        Raises:
            ValueError: a folder without audio, a damaged Kaldi table, or hotwords without a guard.
        """
        paths = [files] if isinstance(files, (str, Path)) else files
        decode = partial(self.decode, hotwords=self.hotwords(hotwords, language))
        with find_sources(paths, language) as sources:
            limits = batch_size, max_frames, longest_s, pause_s
            yield from transcribe_sources(sources, decode, self.sample_rate, *limits)

    def decode(
        self, speech: Sequence[np.ndarray], langs: Sequence[str], hotwords: Optional[HotwordDecoder] = None
    ) -> List[Hypothesis]:
        """Samples (N,) of each, at the model's rate -> hypotheses; the empty one for less than the encoder needs."""
        rows = {
            row: torch.from_numpy(samples) for row, samples in enumerate(speech) if len(samples) >= self.min_samples
        }
        hypotheses = [Hypothesis("", 0.0)] * len(speech)
        if rows:
            lengths = torch.tensor([len(samples) for samples in rows.values()])
            padded = pad_sequence([*rows.values()], batch_first=True)
            for row, found in zip(rows, self.batch(padded, lengths, [langs[row] for row in rows], hotwords)):
                hypotheses[row] = found
        return hypotheses

    def hotwords(
        self, words: Union[PathLike, Sequence[str], HotwordDecoder, None], lang: str = ""
    ) -> Optional[HotwordDecoder]:
        """The entries of a list, or of a file with one a line; make it once, a million take half a minute.

        Raises:
            ValueError: no CTC head (guard "off"), or see `read_hotwords` and `Hotwords`.
        """
        if words is None or isinstance(words, HotwordDecoder):
            return words
        if self.guard is None:
            raise ValueError("hotwords need the CTC head: give a guard (flag or redecode) with the files of stage 10")
        words = read_hotwords(words) if isinstance(words, (str, Path)) else words
        return HotwordDecoder(Hotwords(words, self.guard.verifier.labelize, lang), self.guard.verifier)

    @torch.no_grad()
    def batch(
        self,
        speech: torch.Tensor,
        lengths: torch.Tensor,
        langs: Optional[Sequence[str]] = None,
        hotwords: Optional[HotwordDecoder] = None,
    ) -> List[Hypothesis]:
        """speech (B, N) right-padded, lengths (B,), languages (B) -> the best hypothesis of each."""
        speech, lengths = speech.to(self.device), on_host(lengths)
        frames, frame_lengths = self.model.encode(speech, lengths)
        seconds = lengths / self.sample_rate
        if self.guard is None:
            search = beam_search(self.model, frames, frame_lengths, seconds, self.prompt, self.options)
            return [Hypothesis(self.prompt.decode(best.ids), best.score) for best, *_ in search]
        log_probs = self.guard.log_probs(speech, lengths, frames, frame_lengths)
        langs = langs or [""] * len(log_probs)

        def search_rows(rows: List[int], hints: Optional[List[List[str]]] = None) -> List[Hypothesis]:
            of_rows = frame_lengths[rows]
            inputs = frames[rows, : int(of_rows.max())], of_rows, seconds[rows]
            found = beam_search(self.model, *inputs, self.prompt, self.options, hints)
            return [self.guard.verify(log_probs[row], best, langs[row]) for row, (best, *_) in zip(rows, found)]

        if hotwords is None:
            verified = search_rows([*range(len(log_probs))])
        else:
            verified = hotwords.decode(search_rows, log_probs, langs)
        if self.mode == "redecode":
            self._redecode(verified, log_probs, langs, frames, frame_lengths, seconds)
        return verified

    def _redecode(self, hypotheses: List[Hypothesis], log_probs, langs, frames, frame_lengths, seconds) -> None:
        """Decodes doubtful hypotheses again with more beams, and gaps alone; puts the guard's choice into the list."""
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
        for row, *utterance in zip(rows, frames, lengths, seconds[rows]):
            if unwritten(hypotheses[row]):
                pieces = self._decode_gaps(hypotheses[row], *utterance)
                hypotheses[row] = self.guard.fill(log_probs[row], hypotheses[row], pieces, langs[row])

    def _decode_gaps(self, hypothesis: Hypothesis, frames: torch.Tensor, length: int, seconds: float):
        """Encoder frames (T, D) of an utterance -> the best candidate for each `unwritten` gap, decoded alone."""
        spans = np.array([span(hypothesis, gap) for gap in unwritten(hypothesis)])
        first = np.minimum(np.floor(spans[:, 0] * length / seconds), length - 1).astype(int)
        last = np.clip(np.ceil(spans[:, 1] * length / seconds).astype(int), first + 1, length)
        stretches = pad_sequence([frames[slice(*ends)] for ends in zip(first, last)], batch_first=True)
        durations = (last - first) * seconds / length
        search = beam_search(self.model, stretches, last - first, durations, self.prompt, self.options)
        return [candidates[0] for candidates in search]


def transcribe(
    speech2text: Speech2Text,
    data_dir: Path,
    max_frames: int,
    part: str = "1/1",
    hotwords: Optional[HotwordDecoder] = None,
) -> Dict[str, Hypothesis]:
    """Hypotheses of the utterances of dump/<set>, or of part "i/n" of them, in batches of at most `max_frames`.

    Raises:
        ValueError: see `SpeechSet`.
    """
    speech_set = SpeechSet(data_dir)
    hypotheses: Dict[str, Hypothesis] = {}
    for uids, speech, lengths in speech_set.batches(max_frames, speech2text.sample_rate, part):
        langs = [speech_set.langs.get(uid, "") for uid in uids]
        hypotheses.update(zip(uids, speech2text.batch(speech, lengths, langs, hotwords)))
        logging.info("%d utterances, the last is %s '%s'", len(hypotheses), uids[-1], hypotheses[uids[-1]].text)
    return hypotheses
