"""The CTC head as a verifier of transcripts: confidences, word times, thresholds, and tests with corrupted audio."""
