"""Training utterances that are also in a test set: by id, by words, by sound."""
