"""What a corpus reader is given and registers: the Source it reads from, and its Corpus entry.

A reader is `read(source, **options)`, a generator of `Utterance`. What it cannot use it gives to
`source.drop(id, reason)`; ids, paths and text are checked later (data/prepare.py), so a reader only reads. To let
parallel jobs (--shard) skip files, it goes through `source.share(files)`.
"""

import glob
import inspect
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from espnet_llmasr.data.utterance import Utterances

_TEST = re.compile(r"(^|[-_])(dev|test|val|validation)($|[-_])")


@dataclass(frozen=True)
class Corpus:
    """An entry of `bin.prepare_corpus --list`. `parts`: name -> content; `benchmark`: no part is for training."""

    read: Callable[..., Utterances]
    lang: str
    parts: Mapping[str, str]
    licence: str
    url: str
    benchmark: bool = False

    @property
    def tests(self) -> List[str]:
        """The parts that are only tested on: those named dev, test, val or validation, or all parts of a benchmark."""
        return [part for part in self.parts if self.benchmark or _TEST.search(part)]

    def options(self) -> Dict[str, object]:
        """Options of the reader and their defaults."""
        parameters = list(inspect.signature(self.read).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}


@dataclass
class Source:
    """The folder of a corpus, the part and the shard of it that are wanted, and what was dropped."""

    path: Path
    part: str
    audio_dir: Path
    """The folder to which audio inside parquet files is copied."""
    final_audio_dir: Path
    """The final name of `audio_dir`, when the output directory is complete."""
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
        """The path of an entry's audio while the output directory is being made."""
        final = f"{self.final_audio_dir}/"
        return f"{self.audio_dir}/{entry[len(final) :]}" if entry.startswith(final) else entry

    def share(self, files: Sequence[Path]) -> List[Path]:
        """The files that this shard (part i of n) must read: every n-th of `files`, which must be in a fixed order.

        Where there are fewer files than shards, every shard reads all files and takes the utterances that `is_mine`
        deals out by their ids. A reader that never calls `share` is dealt out by ids, too: right, but each of the n
        jobs then reads the whole corpus.
        """
        number, total = self.shard
        if len(files) < total:
            return list(files)
        self.shared = True
        return list(files)[number - 1 :: total]

    def is_mine(self, utterance: str) -> bool:
        """True for the ids of this shard."""
        number, total = self.shard
        if total == 1 or self.shared:
            return True
        return zlib.crc32(utterance.encode("utf-8", "surrogatepass")) % total == number - 1

    def need(self, *names: str) -> Path:
        """The first of these paths under the source that exists. Raises ValueError if none does."""
        for name in names:
            if (self.path / name).exists():
                return self.path / name
        raise ValueError(f"{self.path} holds no {' and no '.join(names)}: is it the folder of this corpus (--list)?")

    def find(self, *patterns: str) -> List[Path]:
        """All files of the first pattern that matches any, sorted; links are followed, hidden files are not seen.

        Raises ValueError if none does.
        """
        for pattern in patterns:
            paths = sorted(self.path / name for name in glob.glob(pattern, root_dir=self.path, recursive=True))
            if paths:
                return paths
        raise ValueError(f"{self.path} holds no {' and no '.join(patterns)}: is it the folder of this corpus (--list)?")
