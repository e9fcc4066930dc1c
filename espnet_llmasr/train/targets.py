"""The targets of PAI and CSAI (section 3.2 of arXiv 2604.08003): phones and meaning of every utterance.

B utterances, V phones of the list, E width of the text embedder. Made by `bin.make_targets`, kept in one .npz file.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from espnet_llmasr.files import DAMAGED_NPZ, PathLike, atomic_path

ADVICE = "make them with python -m espnet_llmasr.bin.make_targets"


def check_name(path: PathLike) -> None:
    """Raises ValueError if numpy would append .npz to this name, and write elsewhere."""
    if Path(path).suffix != ".npz":
        raise ValueError(f"{path}: the name of a file of targets must end in .npz")


@dataclass(frozen=True)
class Targets:
    """Targets of the utterances `ids`.

    Attributes:
        ids: B utterance ids.
        phonetic: (B, V) float64, the share of each phone in the utterance; every row sums to 1.
        semantic: (B, E) float32, the embedding of the transcript; every row has length 1.
        text: (B, E') float32, the mean of the transcript's input embeddings in an LLM, the other side of CKA to text
            (Eq. 10); None where that is not measured.
        made: how they were made, such as the embedder's name and the phone list.
    """

    ids: List[str]
    phonetic: Tensor
    semantic: Tensor
    text: Optional[Tensor] = None
    made: Dict[str, object] = field(default_factory=dict)

    def __post_init__(self):
        for name, rows in (("phonetic", self.phonetic), ("semantic", self.semantic), ("text", self.text)):
            if rows is not None and (rows.dim() != 2 or len(rows) != len(self.ids)):
                raise ValueError(f"{len(self.ids)} ids, but {name} targets of shape {tuple(rows.shape)}")

    def rows(self, ids: Iterable[str]) -> Tuple[Tensor, Tensor]:
        """phonetic (B', V) and semantic (B', E) of the given ids, in order. Raises ValueError if one is missing."""
        rows = self._numbers(ids)
        return self.phonetic[rows], self.semantic[rows]

    def text_rows(self, ids: Iterable[str]) -> Tensor:
        """text (B', E') of the given ids, in their order. Raises ValueError if an id or all embeddings are missing."""
        if self.text is None:
            raise ValueError(f"these targets hold no text embeddings: {ADVICE}")
        return self.text[self._numbers(ids)]

    def _numbers(self, ids: Iterable[str]) -> Tensor:
        row_of, ids = {uid: row for row, uid in enumerate(self.ids)}, list(ids)
        missing = [uid for uid in ids if uid not in row_of]
        if missing:
            raise ValueError(
                f"no targets for {', '.join(missing[:3])} ({len(missing)} of {len(ids)} utterances): "
                f"{ADVICE} from their data directory"
            )
        return torch.tensor([row_of[uid] for uid in ids], dtype=torch.int64)

    def save(self, path: PathLike) -> None:
        """Writes one .npz file; a reader never sees a part of it. Raises ValueError for a name without .npz."""
        check_name(path)
        arrays = dict(phonetic=self.phonetic, semantic=self.semantic, text=self.text)
        arrays = {name: rows.numpy() for name, rows in arrays.items() if rows is not None}
        made = np.array(json.dumps(self.made, ensure_ascii=False))
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, ids=np.array(self.ids, dtype=np.str_), made=made, **arrays)

    @classmethod
    def load(cls, path: PathLike) -> "Targets":
        """The targets in a file that `save` wrote. Raises ValueError if there is none, or it holds something else."""
        if not Path(path).is_file():
            raise ValueError(f"{path} does not exist: {ADVICE}")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            ids, made = arrays.pop("ids").tolist(), json.loads(str(arrays.pop("made")))
            return cls(ids, **{name: torch.from_numpy(rows) for name, rows in arrays.items()}, made=made)
        except DAMAGED_NPZ as error:
            raise ValueError(f"{path} is damaged or no file of targets ({error}): {ADVICE}") from error
