"""Verifies the transcripts of any system for a set, and writes what the guard says of them."""

from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from espnet_llmasr.files import PathLike, json_lines, read_scp, write_atomically, write_scp
from espnet_llmasr.guard.calibration import read_calibration
from espnet_llmasr.guard.verifier import CTCVerifier, Verification, Word
from espnet_llmasr.metrics.error_rate import check_ids
from espnet_llmasr.train.speech_batches import SpeechSet


class Verified(NamedTuple):
    """The verification of an utterance and its words."""

    verification: Verification
    words: List[Word]


class Totals(NamedTuple):
    """Counts over a set: utterances, those that are not supported, labels, those for which the head has no token."""

    utterances: int
    flagged: int
    labels: int
    unknown: int


def verify_transcripts(
    data_dir: Path,
    hyp_dir: Path,
    output_dir: Path,
    ctc_train_config: PathLike,
    ctc_model_file: Path,
    max_frames: int,
    device: str = "cpu",
) -> Totals:
    """Writes confidence, flagged and words.jsonl of <hyp_dir>/text to `output_dir`.

    Args:
        data_dir: dump/<set> with wav.scp, utt2num_frames and perhaps utt2lang.
        ctc_model_file: weights of the CTC head, with guard.json beside them.
        max_frames: padded frames per batch.

    Raises:
        ValueError: see `SpeechSet`, `read_transcripts`, `CTCVerifier` and `read_calibration`.
    """
    speech_set = SpeechSet(data_dir)
    transcripts = read_transcripts(hyp_dir / "text", speech_set)
    verifier = CTCVerifier(ctc_train_config, ctc_model_file, device)
    threshold = read_calibration(ctc_model_file.with_name("guard.json"), verifier.fingerprint()).threshold
    verified = dict(verify_set(verifier, speech_set, transcripts, max_frames))
    flagged = write_verified(output_dir, verified, threshold)
    labels, unknown = (
        sum(getattr(each.verification, name) for each in verified.values()) for name in ("labels", "unknown")
    )
    return Totals(len(verified), len(flagged), labels, unknown)


def read_transcripts(path: PathLike, speech_set: SpeechSet) -> Dict[str, str]:
    """The transcripts (id and text) of all utterances. Raises ValueError for missing or unknown ids, with numbers."""
    transcripts = read_scp(path)
    try:
        check_ids(speech_set.wavs, transcripts)
    except ValueError as error:
        raise ValueError(f"{path}: {error} in wav.scp") from error
    return transcripts


def verify_set(
    verifier: CTCVerifier, speech_set: SpeechSet, transcripts: Mapping[str, str], max_frames: int
) -> Iterator[Tuple[str, Verified]]:
    """(id, Verified) for every utterance, in batches of at most `max_frames` padded frames."""
    for uids, speech, lengths in speech_set.batches(max_frames, verifier.sample_rate):
        for uid, log_probs in zip(uids, verifier.log_probs(speech, lengths)):
            line = log_probs, transcripts[uid], speech_set.langs.get(uid, "")
            yield uid, Verified(verifier.verify(*line), verifier.words(*line))


def write_verified(output_dir: Path, verified: Mapping[str, Verified], threshold: float) -> Dict[str, str]:
    """Writes confidence, flagged (those below the threshold) and words.jsonl; returns the flagged ones."""
    confidences = {uid: each.verification.confidence for uid, each in verified.items()}
    flagged = {uid: "unsupported" for uid, confidence in confidences.items() if confidence < threshold}
    write_scp(output_dir / "confidence", {uid: f"{confidence:.6f}" for uid, confidence in confidences.items()})
    write_scp(output_dir / "flagged", flagged)
    rows = (words_row(uid, verified[uid].words) for uid in sorted(verified))
    write_atomically(output_dir / "words.jsonl", json_lines(rows))
    return flagged


def words_row(uid: str, words: Sequence[Word]) -> Dict:
    """A line of words.jsonl."""
    return {"id": uid, "words": [word._asdict() for word in words]}
