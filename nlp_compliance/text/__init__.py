"""Normal text, sentences and words of a document, always with the way back to the original characters."""
