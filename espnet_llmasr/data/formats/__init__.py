"""The forms in which corpora are published, each read once: what the readers in data/corpora are made of."""
