"""What a corpus reader is made of: the Utterance it yields, the Source it reads from, and its entry in the list.

A reader is `read(source, **options)`, a generator in a module of its own, named like the corpus. Whatever it cannot use
it gives to `source.drop(id, reason)`; ids, paths and text are checked by the writer, so a reader only reads.
"""

import glob
import inspect
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple


@dataclass
class Utterance:
    """One utterance as its owners publish it.

    `audio` is an entry as in espnet_llmasr.audio (path, or shard.tar:offset); `start` and `end` in seconds name a piece
    of it. `text` is the transcript without the tags of the corpus, but otherwise as written; `lang` is empty for the
    language of the corpus; without `speaker` every utterance is a speaker; without `duration` (seconds) the header of
    the audio is read. `recording` names what is cut into pieces; it is made from the path if empty.
    """

    id: str
    audio: str
    text: str
    speaker: str = ""
    lang: str = ""
    start: Optional[float] = None
    end: Optional[float] = None
    duration: Optional[float] = None
    recording: str = ""

    def is_mistyped(self) -> bool:
        """True if a field holds another type than it should, as it comes from a damaged manifest (null, a list)."""
        words = (self.id, self.audio, self.text, self.speaker, self.lang, self.recording)
        numbers = (self.start, self.end, self.duration)
        return not (
            all(isinstance(word, str) for word in words)
            and all(number is None or isinstance(number, (int, float)) for number in numbers)
        )


@dataclass(frozen=True)
class Corpus:
    """An entry of `prepare.py --list`. `parts`: name -> what it is; `tests`: the parts that are only tested on."""

    read: Callable[..., Iterator[Utterance]]
    lang: str
    parts: Mapping[str, str]
    licence: str
    url: str
    tests: Sequence[str] = ()

    def options(self) -> Dict[str, object]:
        """Options of the reader and their defaults."""
        parameters = list(inspect.signature(self.read).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}


@dataclass
class Source:
    """Where a corpus lies, which part and which shard of it is wanted, and what was dropped."""

    path: Path
    part: str
    audio_dir: Path
    """Where audio that lies inside parquet files is copied to."""
    final_audio_dir: Path
    """Where `audio_dir` lies when the output directory is complete."""
    shard: Tuple[int, int] = (1, 1)
    log: Optional[IO[str]] = None
    dropped: Counter = field(default_factory=Counter)
    shared: bool = False

    def drop(self, utterance: str, reason: str) -> None:
        """Counts and names what cannot be used."""
        if self.is_mine(utterance):
            self.dropped[reason] += 1
            if self.log:
                self.log.write(f"{' '.join(utterance.split())} {reason}\n")

    def staged(self, entry: str) -> str:
        """Where the audio of an entry lies while the output directory is being made."""
        final = f"{self.final_audio_dir}/"
        return f"{self.audio_dir}/{entry[len(final) :]}" if entry.startswith(final) else entry

    def share(self, files: Sequence[Path]) -> List[Path]:
        """The files of this shard, if there are enough for all; otherwise all, and utterances are dealt out by id."""
        number, total = self.shard
        if len(files) < total:
            return list(files)
        self.shared = True
        return list(files)[number - 1 :: total]

    def is_mine(self, utterance: str) -> bool:
        number, total = self.shard
        if total == 1 or self.shared:
            return True
        return zlib.crc32(utterance.encode("utf-8", "surrogatepass")) % total == number - 1

    def need(self, *names: str) -> Path:
        """The first of these paths under the source that exists.

        Raises:
            ValueError: none does.
        """
        for name in names:
            if (self.path / name).exists():
                return self.path / name
        raise ValueError(f"{self.path} holds no {' and no '.join(names)}: is it the folder of this corpus (--list)?")

    def find(self, *patterns: str) -> List[Path]:
        """All files of the first pattern that matches any, sorted; links are followed, hidden files are not seen.

        Raises:
            ValueError: none does.
        """
        for pattern in patterns:
            found = sorted(self.path / name for name in glob.glob(pattern, root_dir=self.path, recursive=True))
            if found:
                return found
        raise ValueError(f"{self.path} holds no {' and no '.join(patterns)}: is it the folder of this corpus (--list)?")
