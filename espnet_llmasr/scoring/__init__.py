"""Error and hallucination rates of any system's transcripts, with intervals, as tables and pages.

Needs neither torch nor ESPnet. Start with score.py; docs/scoring.md has the commands.
"""
