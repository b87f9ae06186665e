import dataclasses
from pathlib import Path

import pytest

from nlp_compliance.errors import SettingsError
from nlp_compliance.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent


def test_defaults_and_environment():
    settings = Settings.from_env(
        {PREFIX + "MAX_TEXT_CHARS": "500", PREFIX + "ADVISORY": "yes", PREFIX + "RULES_DIRS": "a:b"}
    )
    assert settings.max_text_chars == 500 and settings.advisory
    assert settings.rules_dirs == (Path("a"), Path("b"))
    assert Settings.from_env({}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MAX_TEXT_CHARS", "0", r"max_text_chars is 0; allowed: 1 to 1e\+07"),
        ("MAX_TEXT_CHARS", "many", "MAX_TEXT_CHARS is 'many'; expected int"),
        ("ADVISORY", "perhaps", "ADVISORY is 'perhaps'; allowed"),
        ("DETECTORS", "lexical:magic", "detectors names magic; allowed"),
        ("LOG_LEVEL", "loud", "log_level is 'loud'; allowed"),
        ("REVIEW_BAND", "0.9", "review_band is 0.9; allowed: 0 to 0.5"),
    ],
)
def test_a_wrong_setting_says_what_is_allowed(name, value, message):
    with pytest.raises(SettingsError, match=message):
        Settings.from_env({PREFIX + name: value})


def test_every_setting_is_documented():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for entry in dataclasses.fields(Settings):
        assert entry.metadata["help"], entry.name
        assert f"`{PREFIX}{entry.name.upper()}`" in page, entry.name
