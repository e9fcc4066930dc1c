"""Stage 1 of a corpus: from the folder that its owner publishes to a data directory."""

import importlib
import logging
import pkgutil
import shlex
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence, Tuple

from espnet_llmasr import audio
from espnet_llmasr.data import corpora
from espnet_llmasr.data.canonical import Canonical, Unusable
from espnet_llmasr.data.formats.source import Corpus, Source
from espnet_llmasr.data.utterance import Utterance, is_mistyped
from espnet_llmasr.data.writer import DataWriter, write_stats
from espnet_llmasr.files import replacing, sorted_file

CORPORA = tuple(module.name for module in pkgutil.iter_modules(corpora.__path__))


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
    return "\n".join(out)


def reader_options(corpus: Corpus, given: Sequence[str]) -> Dict[str, object]:
    """--set OPTION=VALUE, each value in the type of its default.

    Raises:
        ValueError: an option that the corpus does not have, or a value of another type.
    """
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


def of_shard(source: Source, utterances: Iterator[Utterance], limit: Optional[int]) -> Iterator[Utterance]:
    """The utterances of this shard, at most `limit`; drops what has fields of a wrong type (wrong_type)."""
    taken = 0
    for utterance in utterances:
        if is_mistyped(utterance):
            source.drop(str(utterance.id), "wrong_type")
        elif source.is_mine(utterance.id):
            yield utterance
            taken += 1
            if taken == limit:
                return


def prepare(
    name: str,
    src: Path,
    part: str,
    out: Path,
    canonical: Canonical,
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
        write_stats(staged, stats)
        dropped = ", ".join(f"{reason} {count}" for reason, count in stats["dropped"].items()) or "none"
        logging.info("%s: %d utterances, %.2f h; dropped: %s", out, stats["utts"], stats["hours"], dropped)
        if not stats["utts"] and shard[1] == 1:
            raise ValueError(f"no utterance of {src} is left (dropped: {dropped}): is it the right folder?")
    return stats


def usable(
    source: Source, canonical: Canonical, lang: str, utterances: Iterator[Utterance]
) -> Iterator[Utterance]:
    """The utterances in their canonical form; those that cannot be used are dropped with the reason."""
    for utterance in utterances:
        try:
            yield canonical(utterance, source, lang)
        except (Unusable, audio.AudioError) as error:
            source.drop(utterance.id, getattr(error, "reason", str(error)))


def write_unsorted(staged: Path, utterances: Iterator[Utterance]) -> dict:
    """Writes the tables of utterances that come in any order, through GNU sort: memory does not grow with them."""
    spool, cut = staged / ".rows", False
    with sorted_file(spool) as add:
        for utterance in utterances:
            add(to_line(utterance))
            cut = cut or bool(utterance.recording)
    with open(spool, encoding="utf-8", newline="\n") as lines, DataWriter(staged, cut) as writer:
        for line in lines:
            writer.add(from_line(line))
    spool.unlink()
    return {"utts": writer.utts, "hours": round(writer.seconds / 3600, 6)}


def to_line(utterance: Utterance) -> str:
    """A line that sorts by id; no field holds a tab or a line break (`canonical`)."""
    fields = (utterance.id, utterance.speaker, utterance.lang, f"{utterance.duration:.3f}", utterance.text)
    return "\t".join((*fields, utterance.pronunciation_text, utterance.audio, utterance.recording)) + "\n"


def from_line(line: str) -> Utterance:
    key, speaker, lang, seconds, text, pronunciation, entry, recording = line.rstrip("\n").split("\t")
    more = dict(duration=float(seconds), recording=recording, pronunciation_text=pronunciation)
    return Utterance(key, entry, text, speaker, lang, **more)
