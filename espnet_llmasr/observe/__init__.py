"""Analysis of speech encoders: layers of ours, ESPnet's and Hugging Face's, measured against phones and meaning.

Start with encoders.py (what is read) and measure.py (what is measured); docs/encoder_analysis.md explains the numbers.
"""
