"""Readers: bytes of a file to documents. A reader knows one format; `reader.py` chooses."""
