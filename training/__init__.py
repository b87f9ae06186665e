"""Corpus, training and evaluation of the models that `nlp_compliance` ships. Imports the package; nothing imports it."""
