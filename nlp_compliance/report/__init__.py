"""Reports that people read: terminal, HTML."""
