"""Training and test data: corpora -> checked Kaldi directories (stage 1) -> dump directories with labels (stage 2).

One `utterance.Utterance` from the reader of a corpus to the dump, one reader (`kaldi`), one writer (`writer`).
"""
