"""Kaldi data directory in, dump directory out: reading, writing, reporting and replacing it in one step."""

import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Optional

from espnet_llmasr.bin._audio import Audio, fbank_frames
from espnet_llmasr.files import read_scp, write_atomically, write_scp
from espnet_llmasr.text.normalize import is_han, score_tokens


@dataclass(frozen=True)
class Utterance:
    id: str
    wav: Optional[str]
    text: Optional[str]


@dataclass(frozen=True)
class Result:
    """An utterance after its checks: either `reason` says why it is dropped, or `audio` and `labels` are set."""

    id: str
    reason: Optional[str] = None
    audio: Optional[Audio] = None
    labels: str = ""


def read_utterances(data: Path) -> List[Utterance]:
    """All ids of wav.scp and text in byte order.

    Raises:
        ValueError: a missing file, a duplicate id, segments, or a command in place of a path.
    """
    if (data / "segments").exists():
        raise ValueError(f"{data / 'segments'} is not supported: cut the recordings into one file per utterance first")
    tables = {name: read_scp(data / name) for name in ("wav.scp", "text")}
    for name, table in tables.items():
        if list(table) != in_byte_order(table):
            logging.warning("%s is not sorted; the ids are sorted now", data / name)
    wavs, texts = tables.values()
    for key, path in wavs.items():
        if path.endswith("|"):
            raise ValueError(f"{data / 'wav.scp'}: '{key}' is a command ({path}): only plain paths are allowed")
    texts = {key: " ".join(text.split()) for key, text in texts.items()}  # U+2028 and the like would break tables
    return [Utterance(key, wavs.get(key), texts.get(key)) for key in in_byte_order({**wavs, **texts})]


def in_byte_order(ids: Iterable[str]) -> List[str]:
    return sorted(ids, key=lambda key: key.encode("utf-8"))


def language_of(text: str) -> str:
    """Language by script, for a data directory without utt2lang."""
    scripts = {"zh" if is_han(token) else "en" for token in score_tokens(text)}
    return "-".join(sorted(scripts, reverse=True))


def read_optional(path: Path) -> Dict[str, str]:
    return read_scp(path) if path.exists() else {}


def write_dump(staged: Path, data: Path, texts: Dict[str, str], results: List[Result], rate: int) -> dict:
    """Writes all tables of the kept utterances and returns the statistics."""
    kept = {result.id: result for result in results if result.reason is None}
    speakers, languages = (read_optional(data / name) for name in ("utt2spk", "utt2lang"))
    speakers = {key: speakers.get(key, key) for key in kept}
    by_speaker: Dict[str, List[str]] = {}
    for key, speaker in speakers.items():
        by_speaker.setdefault(speaker, []).append(key)
    samples = {key: result.audio.samples for key, result in kept.items()}
    tables = {
        "wav.scp": {key: result.audio.path for key, result in kept.items()},
        "text": {key: texts[key] for key in kept},
        "phones": {key: result.labels for key, result in kept.items()},
        "utt2spk": speakers,
        "spk2utt": {speaker: " ".join(keys) for speaker, keys in by_speaker.items()},
        "utt2lang": {key: languages.get(key) or language_of(texts[key]) for key in kept},
        "utt2num_samples": samples,
        "utt2num_frames": {key: fbank_frames(n, rate) for key, n in samples.items()},
        "dropped.txt": {result.id: result.reason for result in results if result.reason},
    }
    for name, table in tables.items():
        write_scp(staged / name, table)
    reasons = Counter(result.reason for result in results if result.reason)
    stats = {"utts": len(kept), "hours": sum(samples.values()) / rate / 3600, "dropped": dict(sorted(reasons.items()))}
    write_atomically(staged / "stats.json", json.dumps(stats, indent=1) + "\n")
    return stats


def report(data: Path, results: List[Result], stats: dict, rate: int) -> None:
    """One line for what was kept and dropped, one warning each for resampled and mixed-down recordings."""
    audios = [result.audio for result in results if result.audio]
    resampled, mixed = sum(a.resampled for a in audios), sum(a.mixed_down for a in audios)
    if resampled:
        logging.warning("%s: %d recordings had another sample rate and were resampled to %d Hz", data, resampled, rate)
    if mixed:
        logging.warning("%s: %d recordings had several channels and were mixed down", data, mixed)
    kept, hours = stats["utts"], stats["hours"]
    logging.info("%s: kept %d of %d utterances (%.2f h)%s", data, kept, len(results), hours, drops(results))


def drops(results: List[Result]) -> str:
    """ "; dropped 3: nan_samples 2 (a, b), no_text 1 (c)" or nothing."""
    named: Dict[str, List[str]] = {}
    for result in results:
        if result.reason:
            named.setdefault(result.reason, []).append(result.id)
    parts = [f"{reason} {len(ids)} ({first_ids(ids)})" for reason, ids in sorted(named.items())]
    return f"; dropped {sum(map(len, named.values()))}: {', '.join(parts)}" if parts else ""


def first_ids(ids: List[str], shown: int = 3) -> str:
    return ", ".join(ids[:shown]) + (", ..." if len(ids) > shown else "")
