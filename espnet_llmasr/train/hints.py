"""Hints of training utterances: entries of a list that are said, and others that sound like them (context SFT)."""

import random
from collections import defaultdict
from typing import Dict, Iterator, List, Optional, Tuple

from espnet_llmasr.files import PathLike
from espnet_llmasr.text.ctc_labels import CTCLabelizer
from espnet_llmasr.text.hotwords import Hotwords, read_hotwords
from espnet_llmasr.text.inventories import read_tokens

Pattern = Tuple[object, ...]


class TrainingHints:
    """Draws the hints of an utterance from its transcript (stage 5 of arXiv 2604.18105, whose shares are not given).

    An utterance gets the entries that it says, always, so that the LLM does not learn to write them without a hint;
    and for each, with the probability `distractors`, another entry with at most one other phone. An utterance that
    says none gets, with the same probability, any entry: from both the LLM learns that a hint need not be said. The
    draws depend on the seed and the id alone, so that a batch can be planned, and a training repeated.

    Args:
        file: the list, one entry a line.
        distractors: probability.
        seed: of the training.
    Raises:
        ValueError: no file, a probability outside of [0, 1], or see `read_hotwords` and `Hotwords`.
    """

    def __init__(self, file: Optional[PathLike] = None, distractors: float = 0.5, seed: int = 0):
        if file is None:
            raise ValueError("--hints has no file: give --hints file=names.txt, a list with one entry a line")
        if not isinstance(distractors, (int, float)) or not 0 <= distractors <= 1:
            raise ValueError(f"--hints has distractors {distractors!r}, expected a probability from 0 to 1")
        self.distractors, self.seed = distractors, seed
        self.labelize = CTCLabelizer(read_tokens("zh_en"))
        self.words = read_hotwords(file)
        self.hotwords = Hotwords(self.words, self.labelize)
        self.alike: Dict[Pattern, List[str]] = defaultdict(list)
        for word in self.words:
            for pattern in self._patterns(word):
                self.alike[pattern].append(word)

    def __call__(self, uid: str, text: str) -> List[str]:
        """The hints of an utterance in random order; often none."""
        rng = random.Random(f"{self.seed} {uid}")
        matches = self.hotwords.find(self.labelize(text, "").ids)
        said = [word for match in matches for word in match.words if word.lower() in text.lower()]
        others = [self._near(word) for word in said] or [self.words]
        drawn = [rng.choice(words) for words in others if words and rng.random() < self.distractors]
        hints = list(dict.fromkeys([*said, *drawn]))
        rng.shuffle(hints)
        return hints

    def _near(self, word: str) -> List[str]:
        """The other entries with at most one other label."""
        return sorted({other for pattern in self._patterns(word) for other in self.alike[pattern]} - {word})

    def _patterns(self, word: str) -> Iterator[Pattern]:
        """The labels of a word with each of them left open in turn: alike words share one."""
        labels = self.labelize(word, "").ids
        return ((*labels[:place], None, *labels[place + 1 :]) for place in range(len(labels)))
