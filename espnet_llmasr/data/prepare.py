"""Stage 1 of a corpus: from the folder that its owner publishes to a data directory.

Every utterance gets its canonical text, an id in Kaldi's order and a duration, or is dropped with a reason.
"""

import importlib
import logging
import pkgutil
import re
import shlex
from functools import lru_cache
from pathlib import Path
from typing import Dict, Optional, Sequence, Tuple

from espnet_llmasr import audio
from espnet_llmasr.data import corpora
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import LONGEST_S, Dropped, Utterance, Utterances, is_mistyped
from espnet_llmasr.data.writer import DataWriter, write_stats
from espnet_llmasr.files import replacing, sorted_file
from espnet_llmasr.text.markup import Unclean
from espnet_llmasr.text.transcript import Transcript

CORPORA = tuple(module.name for module in pkgutil.iter_modules(corpora.__path__))
NAMED = 10  # symbols and numbers without words that a warning names
_NOT_IN_ID = re.compile(r"[^\w.:-]")
_NOT_IN_PATH = re.compile(r"[\t\n\r\ud800-\udfff]|\s$")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # `readers.lines` decodes bytes of another encoding to these


def load(name: str) -> Corpus:
    """The entry of one corpus."""
    return importlib.import_module(f"{corpora.__name__}.{name}").CORPUS


def listing() -> str:
    """All corpora with licence, address, parts and options."""
    out = [
        "CORPUS (languages), licence; below: address, PARTs ([test]: never to train on), options with their defaults\n"
    ]
    for name in CORPORA:
        corpus = load(name)
        out.append(f"{name} ({corpus.lang}), {corpus.licence}\n    {corpus.url}")
        out += [f"    {part:24} {what}{' [test]' * (part in corpus.tests)}" for part, what in corpus.parts.items()]
        settings = (f"{option}={default}" for option, default in corpus.options().items())
        out += [f"    --set {shlex.quote(setting)}" for setting in settings]
    return "\n".join(out) + "\n"


def reader_options(corpus: Corpus, given: Sequence[str]) -> Dict[str, object]:
    """--set OPTION=VALUE, each value in the type of its default. Raises ValueError for another option or type."""
    options = corpus.options()
    for setting in given:
        name, equals, value = setting.partition("=")
        if name not in options or not equals:
            have = ", ".join(f"{option}=..." for option in options) or "no options"
            raise ValueError(f"--set {setting}: this corpus has {have}")
        try:
            options[name] = type(options[name])(value)
        except ValueError as error:
            raise ValueError(f"--set {setting}: expected a value such as {options[name]}") from error
    return options


def prepare(
    name: str,
    src: Path,
    part: str,
    out: Path,
    canonical: "Canonical",
    options: Sequence[str] = (),
    shard: Tuple[int, int] = (1, 1),
    limit: Optional[int] = None,
) -> dict:
    """Writes the data directory `out` of one part of a corpus and returns its statistics.

    Args:
        options: OPTION=VALUE of the reader.
        shard: (i, n), prepare only part i of n.
        limit: stop after so many utterances.
    Raises:
        ValueError: an unknown part or option, a source of another layout, duplicate ids, or nothing left.
    """
    corpus = load(name)
    if part not in corpus.parts:
        raise ValueError(f"{name} has no part '{part}', its parts are {', '.join(corpus.parts)}")
    if not src.is_dir():
        raise ValueError(f"{src} is no folder: {name} comes from {corpus.url}")
    values, final = reader_options(corpus, options), out.absolute()
    with replacing(final) as staged, open(staged / "dropped.txt", "w", encoding="utf-8", errors="replace") as log:
        source = Source(src.absolute(), part, staged / "audio", final / "audio", shard, log)
        utterances = of_shard(source, corpus.read(source, **values), limit)
        stats = write_unsorted(staged, usable(source, canonical, corpus.lang, utterances))
        stats["dropped"] = dict(sorted(source.dropped.items()))
        stats.update(canonical.unspoken())
        write_stats(staged, stats)
        dropped = ", ".join(f"{reason} {count}" for reason, count in stats["dropped"].items()) or "none"
        logging.info("%s: %d utterances, %.2f h; dropped: %s", out, stats["utts"], stats["hours"], dropped)
        for what, counts in canonical.unspoken().items():
            named = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda c: -c[1])[:NAMED])
            logging.warning("%s: %s: %s%s", out, what.replace("_", " "), named, ", ..." * (len(counts) > NAMED))
        if not stats["utts"] and shard[1] == 1:
            raise ValueError(f"no utterance of {src} is left (dropped: {dropped}): is it the right folder?")
    return stats


def of_shard(source: Source, utterances: Utterances, limit: Optional[int]) -> Utterances:
    """The utterances of this shard, at most `limit`; drops those with fields of a wrong type (wrong_type)."""
    taken = 0
    for utterance in utterances:
        if is_mistyped(utterance):
            source.drop(str(utterance.id), "wrong_type")
        elif source.is_mine(utterance.id):
            yield utterance
            taken += 1
            if taken == limit:
                return


def usable(source: Source, canonical: "Canonical", lang: str, utterances: Utterances) -> Utterances:
    """The utterances in their canonical form; those that cannot be used are dropped with the reason."""
    for utterance in utterances:
        try:
            yield canonical(utterance, source, lang)
        except (Dropped, audio.AudioError) as error:
            source.drop(utterance.id, error.reason)


def write_unsorted(staged: Path, utterances: Utterances) -> dict:
    """Writes the tables of utterances that come in any order, through GNU sort: memory does not grow with them."""
    spool, cut = staged / ".rows", False
    with sorted_file(spool) as add:
        for u in utterances:  # begins with the id, to be sorted by it; no field holds a tab or a line break
            fields = (u.id, u.audio, u.text, u.speaker, u.lang, f"{u.duration:.3f}", u.recording, u.pronunciation_text)
            add("\t".join(fields) + "\n")
            cut = cut or bool(u.recording)
    with open(spool, encoding="utf-8", newline="\n") as lines, DataWriter(staged, cut) as writer:
        for line in lines:
            *words, seconds, recording, pronunciation = line.rstrip("\n").split("\t")
            more = dict(duration=float(seconds), recording=recording, pronunciation_text=pronunciation)
            writer.add(Utterance(*words, **more))
    spool.unlink()
    return {"utts": writer.utts, "hours": round(writer.seconds / 3600, 6)}


class Canonical:
    """The utterances of a corpus in the form of our data directories.

    Args:
        prefix: begins all ids.
        text_style: one of text.transcript.STYLES.
    """

    def __init__(self, prefix: str, text_style: str):
        self.prefix, self.transcript = clean_id(prefix).replace("-", "_"), Transcript(text_style)

    def __call__(self, utterance: Utterance, source: Source, lang: str) -> Utterance:
        """The utterance; `lang` is the language of the corpus, for utterances that have none of their own.

        Raises:
            Dropped, audio.AudioError: with the reason to drop it.
        """
        check(utterance)
        lang = utterance.lang or lang
        try:
            text, pronunciation = map(one_line, self.transcript(utterance.text, lang))
        except Unclean as error:
            raise Dropped(error.reason) from error
        if not text:
            raise Dropped("empty_text")
        seconds = seconds_of(utterance, source.staged(utterance.audio))
        entry, recording = utterance.audio, ""
        if utterance.end is not None:
            start = utterance.start or 0.0
            entry = f"{entry}#t={start:.3f},{start + seconds:.3f}"
            recording = f"{self.prefix}_{clean_id(utterance.recording or Path(utterance.audio).stem)}"
        key, speaker = self.names(utterance.id, utterance.speaker)
        more = dict(duration=seconds, recording=recording, pronunciation_text=pronunciation)
        return Utterance(key, entry, text, speaker, lang, **more)

    def unspoken(self) -> Dict[str, Dict[str, int]]:
        """Counts of the symbols that no text has, and of the numbers that stay digits, over all lines so far."""
        counts = {"lost_symbols": self.transcript.lost, "unread_numbers": self.transcript.unread}
        return {name: dict(sorted(found.items())) for name, found in counts.items() if found}

    def names(self, utterance: str, speaker: str) -> Tuple[str, str]:
        """(utterance id, speaker id) that are unique among corpora, without blanks or slashes; equal without a speaker.

        A speaker becomes PREFIX_speaker without "-", an utterance that followed by "-": "-" sorts before all else that
        may occur in an id, so the order of the utterances is also that of the speakers (Kaldi's rule).
        """
        name, speaker = clean_id(utterance), clean_id(speaker).replace("-", "_")
        if not speaker:
            name = f"{self.prefix}_{name.replace('-', '_')}"
            return name, name
        return f"{self.prefix}_{speaker}-{name.removeprefix(f'{speaker}-')}", f"{self.prefix}_{speaker}"


def clean_id(name: str) -> str:
    return _NOT_IN_ID.sub("_", name.strip())


def check(utterance: Utterance) -> None:
    """Raises Dropped for an utterance that no table can hold."""
    if not utterance.id.strip():
        raise Dropped("empty_id")
    if _SURROGATE.search(utterance.text) or _SURROGATE.search(utterance.id):
        raise Dropped("not_utf8")
    if _NOT_IN_PATH.search(utterance.audio):
        raise Dropped("bad_path")


def one_line(text: str) -> str:
    """The text without tabs and line breaks, which would make other columns and lines."""
    return text if text.isprintable() else " ".join(text.split())


def seconds_of(utterance: Utterance, entry: str) -> float:
    """The duration, from the times or the manifest where they are given, otherwise from the header of the audio."""
    if utterance.end is not None:
        start, end = utterance.start or 0.0, utterance.end
        if not 0 <= start < end:
            raise Dropped("bad_times")
        if end > recording_seconds(entry) + 0.1:
            raise Dropped("beyond_end")
        seconds = min(end, recording_seconds(entry)) - start
        if seconds < 0.001:  # times are written with three decimals
            raise Dropped("beyond_end")
        return seconds
    if utterance.duration is None:
        return audio.info(entry).seconds
    where = audio.Entry.parse(entry)
    if not where.exists():
        raise Dropped("empty_wav" if Path(where.path).exists() else "missing_wav")
    if not 0 < utterance.duration < LONGEST_S:
        raise Dropped("bad_duration")
    return utterance.duration


@lru_cache(4096)
def recording_seconds(entry: str) -> float:
    return audio.info(entry).seconds
