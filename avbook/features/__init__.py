"""Frozen feature extractors, and the log-mel patches that the audio extractor takes."""
