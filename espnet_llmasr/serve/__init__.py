"""A server of a model: OpenAI's interface for transcriptions, and a web page."""
