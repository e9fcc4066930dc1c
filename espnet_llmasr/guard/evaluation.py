"""Tests of the verifier: confidences of transcripts with their own and with corrupted audio.  N samples."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch.nn.utils.rnn import pad_sequence

from espnet_llmasr.data.sounds import KINDS
from espnet_llmasr.files import read_scp, write_atomically
from espnet_llmasr.guard.calibration import TARGET, Calibration, gap_threshold, quantile, thresholds_for
from espnet_llmasr.guard.gaps import UNWRITTEN
from espnet_llmasr.guard.verifier import CTCVerifier
from espnet_llmasr.metrics.intervals import wilson_interval
from espnet_llmasr.scoring.markdown import markdown, rate_cell
from espnet_llmasr.scoring.test_sets import read_set
from espnet_llmasr.text.normalize import score_tokens
from espnet_llmasr.text.routes import make_route
from espnet_llmasr.train.speech_batches import SpeechSet, read_audio

CORRUPTIONS = {
    "noise": "audio replaced by noise of the same length",
    "other": "audio replaced by another utterance",
    "half": "second half replaced by another utterance",
}
DRAWS = 1000  # of another utterance, before all transcripts count as the same
SHORT_S = 1.5  # utterances below this duration are reported as a group

Confidences = Dict[str, Dict[str, float]]
"""{"own", "noise", "other", "half"} -> id -> confidence."""


# ---- corrupted audio -------------------------------------------------------------------------------------------------


def noise_like(samples: np.ndarray, number: int, seed: int, rate: int) -> np.ndarray:
    """Synthetic noise as long and as loud (RMS) as samples (N,); utterance `number` has the kind number % kinds."""
    kind = list(KINDS.values())[number % len(KINDS)]
    noise = kind(len(samples), np.random.default_rng([seed, number]), rate)
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)) / max(np.mean(np.square(noise)), 1e-20))
    return (noise * level).astype(np.float32)


def half_replaced(samples: np.ndarray, other: np.ndarray) -> np.ndarray:
    """samples (N,) whose second half comes from `other` (M,), which is repeated if it is too short."""
    half = len(samples) // 2
    return np.concatenate([samples[:half], np.resize(other, len(samples) - half)])


def first_half(text: str) -> str:
    """The words of a transcript without their second half; a single word is removed."""
    words = score_tokens(text)
    return " ".join(words[: len(words) // 2])


def draw_others(texts: Mapping[str, str], seed: int) -> Dict[str, str]:
    """id -> the id of another utterance, drawn at random among those with other words.

    Raises:
        ValueError: all utterances have the same words.
    """
    ids, rng = sorted(texts), np.random.default_rng(seed)
    words = {uid: score_tokens(text) for uid, text in texts.items()}
    others = {}
    for uid in ids:
        draws = (ids[rng.integers(len(ids))] for _ in range(DRAWS))
        others[uid] = next((other for other in draws if words[other] != words[uid]), None)
        if others[uid] is None:
            raise ValueError(f"no utterance has other words than {uid}: the test needs a set with several transcripts")
    return others


class CorruptionTest:
    """Confidences of the transcripts of a set with their own audio and with each kind of corrupted audio.

    `run` also fills `gaps`: id -> gap evidence of the "whole" transcript, and of the "cut" one (`first_half`).

    Args:
        data_dir: dump/<set> with wav.scp, utt2num_frames and perhaps utt2lang.
        texts: id -> transcript; the audio of these utterances is used.
    Raises:
        ValueError: an utterance without audio, or all transcripts have the same words.
    """

    def __init__(self, verifier: CTCVerifier, data_dir: Path, texts: Mapping[str, str], seed: int = 0):
        self.verifier, self.texts, self.seed = verifier, texts, seed
        self.speech_set = SpeechSet(data_dir, texts)
        self.numbers = {uid: number for number, uid in enumerate(sorted(texts))}
        self.other = draw_others(texts, seed)
        self.gaps: Confidences = {"whole": {}, "cut": {}}
        self.takers: Dict[str, List[str]] = defaultdict(list)  # the utterances that get the audio of this one
        for uid, other in self.other.items():
            self.takers[other].append(uid)

    def run(self, max_frames: int) -> Confidences:
        """All confidences, with three encoder passes per audio: unchanged, as noise, with another second half."""
        confidences: Confidences = {kind: {} for kind in ("own", *CORRUPTIONS)}
        for uids, speech, lengths in self.speech_set.batches(max_frames, self.verifier.sample_rate):
            rows = [row[:length].numpy() for row, length in zip(speech, lengths.tolist())]
            for uid, log_probs in zip(uids, self.verifier.log_probs(speech, lengths)):
                confidences["own"][uid] = self._confidence(log_probs, uid)
                lang = self.speech_set.langs.get(uid, "")
                self.gaps["whole"][uid] = self.verifier.gap_evidence(log_probs, self.texts[uid], lang)
                half = first_half(self.texts[uid])
                self.gaps["cut"][uid] = self.verifier.gap_evidence(log_probs, half, lang, (UNWRITTEN,))
                # The frames of this audio also serve the transcripts that get it as the audio of another utterance.
                others = {taker: self._confidence(log_probs, taker) for taker in self.takers[uid]}
                confidences["other"].update(others)
            for kind, corrupt in (("noise", self._noise), ("half", self._half)):
                corrupted = pad_sequence([torch.from_numpy(corrupt(*row)) for row in zip(uids, rows)], batch_first=True)
                for uid, log_probs in zip(uids, self.verifier.log_probs(corrupted, lengths)):
                    confidences[kind][uid] = self._confidence(log_probs, uid)
        return confidences

    def _confidence(self, log_probs: torch.Tensor, uid: str) -> float:
        return self.verifier.verify(log_probs, self.texts[uid], self.speech_set.langs.get(uid, "")).confidence

    def _noise(self, uid: str, samples: np.ndarray) -> np.ndarray:
        return noise_like(samples, self.numbers[uid], self.seed, self.verifier.sample_rate)

    def _half(self, uid: str, samples: np.ndarray) -> np.ndarray:
        other = self.other[uid]
        return half_replaced(samples, read_audio(other, self.speech_set.wavs[other], self.verifier.sample_rate))


# ---- calibration -----------------------------------------------------------------------------------------------------


def calibrate(
    verifier: CTCVerifier, data_dir: Path, false_alarms: float, max_utterances: int, max_frames: int, seed: int
) -> Tuple[Calibration, Confidences]:
    """The thresholds for the true transcripts of dump/<set>, and the confidences that give them.

    Raises:
        ValueError: no transcripts, or see `CorruptionTest` and `thresholds_for`.
    """
    texts = {uid: text for uid, text in read_scp(data_dir / "text").items() if text}
    if not texts:
        raise ValueError(f"{data_dir}/text has no transcripts: give a data directory of stage 2, such as dump/valid")
    every = -(-len(texts) // max_utterances)  # evenly spaced in the order of ids, so that all speakers take part
    texts = {uid: texts[uid] for uid in sorted(texts)[::every]}
    test = CorruptionTest(verifier, data_dir, texts, seed)
    confidences = test.run(max_frames)
    false = [confidence for kind in CORRUPTIONS for confidence in confidences[kind].values()]
    thresholds = thresholds_for(list(confidences["own"].values()), false, false_alarms)
    gap = gap_threshold(*(list(test.gaps[kind].values()) for kind in ("whole", "cut")), false_alarms)
    return Calibration(*thresholds, gap, false_alarms, len(texts), verifier.fingerprint(), str(data_dir)), confidences


def flagged_shares(confidences: Confidences, threshold: float) -> Dict[str, str]:
    """Kind of audio -> the share of its confidences below the threshold, see `percent`."""
    return {kind: percent(share_below(list(values.values()), threshold)) for kind, values in confidences.items()}


# ---- figures ---------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """An utterance: whether its transcript is right, tokens, duration, the confidence with each audio, gap evidence."""

    uid: str
    right: bool
    tokens: int
    seconds: float
    confidences: Dict[str, float]
    gaps: Dict[str, float]


def read_cases(
    verifier: CTCVerifier, ref_dir: Path, hyp_dir: Path, name: str, max_frames: int, seed: int
) -> Iterator[Case]:
    """The utterances of a test set whose transcript has a token; a transcript is right if it has no error."""
    test_set = read_set(ref_dir, hyp_dir, name)
    tokens = {uid: score_tokens(text) for uid, text in test_set.hypotheses.items()}
    texts = {uid: text for uid, text in test_set.hypotheses.items() if tokens[uid]}
    test = CorruptionTest(verifier, ref_dir / name, texts, seed)
    confidences = test.run(max_frames)
    for uid in texts:
        right = score_tokens(test_set.references[uid]) == tokens[uid]
        own = {kind: confidences[kind][uid] for kind in confidences}
        gaps = {kind: test.gaps[kind][uid] for kind in test.gaps}
        seconds = test.speech_set.num_frames[uid] * verifier.feature_shift_s
        yield Case(uid, right, len(tokens[uid]), seconds, own, gaps)


def measure(
    verifier: CTCVerifier,
    calibration: Calibration,
    ref_dir: Path,
    hyp_dir: Path,
    sets: Sequence[str],
    max_frames: int,
    seed: int,
) -> Dict:
    """The figures of all sets together (see `figures`), with the options that they depend on.

    Args:
        ref_dir: dump: <set>/text, wav.scp and utt2num_frames. hyp_dir: <set>/text of the system to be guarded.
        max_frames: padded frames per batch. seed: of the corrupted audio.

    Raises:
        ValueError: see `read_set` and `CorruptionTest`.
    """
    cases = [case for name in sets for case in read_cases(verifier, ref_dir, hyp_dir, name, max_frames, seed)]
    options = {"sets": sets, "seed": seed, "route": str(make_route("none")), "threshold": calibration.threshold}
    return {**options, "gap": calibration.gap, **figures(cases, calibration.threshold, calibration.gap)}


def figures(cases: Sequence[Case], threshold: float, gap: float) -> Dict:
    """All figures at these thresholds, and at those with 5 % false alarms on these very utterances."""

    def confidences(kind: str, chosen: Sequence[Case] = cases) -> List[float]:
        return [case.confidences[kind] for case in chosen]

    def detection(true: Sequence[float], false: Sequence[float]) -> Dict:
        shares = {"detected": share_below(false, threshold), "at 5 % here": share_below(false, at_target)}
        return {**shares, "auc": area_under_roc(true, false)}

    own = confidences("own")
    at_target = quantile(own, TARGET)
    right, wrong = (confidences("own", [case for case in cases if case.right is kind]) for kind in (True, False))
    groups = {
        "one token": [case for case in cases if case.tokens == 1],
        f"shorter than {SHORT_S} s": [case for case in cases if case.seconds < SHORT_S],
    }
    kinds = ("own", *CORRUPTIONS)
    return {
        "utterances": len(cases),
        "threshold at 5 % here": at_target,
        "false alarms": share_below(own, threshold),
        "false alarms, transcript right": share_below(right, threshold),
        "replaced": {kind: detection(own, confidences(kind)) for kind in CORRUPTIONS},
        "wrong": detection(right, wrong),
        "gaps": gap_figures([case.gaps for case in cases if case.right], gap),
        "groups": {
            name: {kind: share_below(confidences(kind, group), threshold) for kind in kinds}
            for name, group in groups.items()
        },
    }


def gap_figures(gaps: Sequence[Mapping[str, float]], threshold: float) -> Dict:
    """Shares of right transcripts with a gap, as they are (false alarms) and without their second half (detected)."""
    whole, cut = ([-each[kind] for each in gaps] for kind in ("whole", "cut"))
    at_target = quantile(whole, TARGET) if gaps else float("nan")
    shares = {"false alarms": share_below(whole, -threshold), "detected": share_below(cut, -threshold)}
    return {**shares, "at 5 % here": share_below(cut, at_target), "auc": area_under_roc(whole, cut)}


def area_under_roc(high: Sequence[float], low: Sequence[float]) -> float:
    """The probability that a value of `high` exceeds a value of `low`; ties count half (rank formula). nan if empty."""
    if not (len(high) and len(low)):
        return float("nan")
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def share_below(confidences: Sequence[float], threshold: float) -> Dict:
    """Count, number, rate and 95 % interval (Wilson) of the confidences below a threshold."""
    hits, total = int(np.sum(np.asarray(confidences) < threshold)), len(confidences)
    return {"hits": hits, "of": total, "rate": hits / total if total else None, "95 %": wilson_interval(hits, total)}


def percent(share: Dict) -> str:
    """A share as "5.0 (0.9-23.6), 1 of 20": percent, its 95 % interval, and the counts."""
    if not share["of"]:
        return "-"
    return f"{rate_cell(share['rate'], share['95 %'], 1)}, {share['hits']} of {share['of']}"


def write_result(out: Path, result: Dict) -> None:
    """Writes <out>.json, all figures, and <out>.md, the page."""
    write_atomically(f"{out}.json", json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    write_atomically(f"{out}.md", page(result))


def page(result: Dict) -> str:
    """The figures in Markdown; rates in percent with their 95 % intervals (Wilson)."""
    at_target = result["threshold at 5 % here"]
    head = ("flagged utterances", f"threshold {result['threshold']:.4f}", f"{at_target:.4f} (5 % here)", "AUC")
    kinds = [(CORRUPTIONS[kind], result["replaced"][kind]) for kind in CORRUPTIONS]
    rows = [
        ("own audio: false alarms", percent(result["false alarms"]), "", ""),
        ("own audio, transcript right", percent(result["false alarms, transcript right"]), "", ""),
    ]
    for name, shares in [*kinds, ("own audio, transcript wrong", result["wrong"])]:
        rows.append((name, percent(shares["detected"]), percent(shares["at 5 % here"]), f"{shares['auc']:.4f}"))
    gaps = result["gaps"]
    rows.append(("gaps: transcript right", percent(gaps["false alarms"]), "", ""))
    shares = percent(gaps["detected"]), percent(gaps["at 5 % here"]), f"{gaps['auc']:.4f}"
    rows.append(("gaps: its second half removed", *shares))
    text = f"{result['utterances']} utterances of {', '.join(result['sets'])}, seed {result['seed']}; transcripts "
    text += f"are right or wrong by the route {result['route']}\n\n{markdown([head, *rows])}"
    head = ("extremes", "own audio", *CORRUPTIONS.values())
    rows = [(name, *map(percent, group.values())) for name, group in result["groups"].items()]
    return f"{text}\n{markdown([head, *rows])}"
