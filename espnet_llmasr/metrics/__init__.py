"""Pure functions: NSE, PAI, CSAI and CKA of encoders, error rates, hallucination, intervals, significance.

docs/encoder_analysis.md and docs/scoring.md say how to read the numbers.
"""
