"""The rulebook: labels, laws with their days in force, and rules, all from YAML and all checked at load."""

from nlp_compliance.rulebook.load import load_rulebook
from nlp_compliance.rulebook.model import Article, LabelInfo, Law, Rule, Rulebook

__all__ = ["Article", "LabelInfo", "Law", "Rule", "Rulebook", "load_rulebook"]
