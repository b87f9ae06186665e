"""Whether a reader sees an element of a page, by the styles written on it and on the elements around it.

Inherited as browsers do: `display`, `opacity` and collapsed boxes hide everything inside; `visibility`, font size and
colours pass down until an inner element says otherwise (articles set the size to 0 around pictures and back on text).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

# Under this many pixels nobody reads Chinese characters.
_TINY_PX = 5.0
_OFF_SCREEN_PX = -500.0
_FAINT = 0.1
_PX_PER_UNIT = {"px": 1.0, "pt": 4 / 3, "rpx": 0.5, "rem": 16.0}
_LENGTH = re.compile(r"(-?\d*\.?\d+)\s*([a-z%]*)")
_NUMBERS = re.compile(r"-?\d*\.?\d+")
_NAMED = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "snow": (255, 250, 250),
    "ivory": (255, 255, 240),
    "red": (255, 0, 0),
    "yellow": (255, 255, 0),
}
# Colours nearer to each other than this, summed over the channels, cannot be told apart.
_SAME_COLOUR = 24

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """What of the styles above an element matters here; sizes in pixels. `ground` None is a picture or gradient."""

    gone: bool = False
    hidden: bool = False
    font_px: float = 16.0
    ink: Colour | None = (0, 0, 0)
    ground: Colour | None = (255, 255, 255)

    @property
    def visible(self) -> bool:
        if self.gone or self.hidden or self.font_px < _TINY_PX or self.ink is None:
            return False
        return self.ground is None or sum(abs(a - b) for a, b in zip(self.ink, self.ground, strict=True)) > _SAME_COLOUR

    def inside(self, style: str | None, *, hidden: bool = False) -> Seen:
        """The state inside an element with this `style` attribute; `hidden` says whether it has the attribute `hidden`."""
        if not style:
            return replace(self, gone=True) if hidden else self
        rules = declarations(style)
        return Seen(
            gone=self.gone or hidden or _removes(rules),
            hidden=rules["visibility"] in ("hidden", "collapse") if "visibility" in rules else self.hidden,
            font_px=_font(rules.get("font-size", ""), self.font_px),
            ink=_ink(rules["color"], self.ink) if "color" in rules else self.ink,
            ground=_ground(rules, self.ground),
        )


def declarations(style: str) -> dict[str, str]:
    """Property to value, lower case, without `!important`; the last of two counts."""
    out = {}
    for part in style.lower().split(";"):
        name, colon, value = part.partition(":")
        if colon:
            out[name.strip()] = value.replace("!important", "").strip()
    return out


def background_picture(style: str | None) -> str | None:
    """The address of a background picture: long copy is often laid out as one."""
    found = re.search(r"background(?:-image)?\s*:[^;]*url\(\s*(['\"]?)(.*?)\1\s*\)", style or "", re.I)
    return found.group(2).replace("&quot;", "").strip("'\" ") if found else None


def _removes(rules: dict[str, str]) -> bool:
    if rules.get("display") == "none":
        return True
    if (opacity := _number(rules.get("opacity"))) is not None and opacity < _FAINT:
        return True
    if any((_pixels(rules.get(name), 0.0) or 0.0) < _OFF_SCREEN_PX for name in ("text-indent", "left", "top")):
        return True
    if rules.get("overflow", rules.get("overflow-y", "")) in ("hidden", "clip"):
        return any(_pixels(rules.get(n), 16.0) in (0.0, 1.0) for n in ("height", "width", "max-height", "max-width"))
    return re.sub(r"\s", "", rules.get("clip", "")) in ("rect(0,0,0,0)", "rect(0px,0px,0px,0px)")


def _number(value: str | None) -> float | None:
    found = _NUMBERS.match(value or "")
    return float(found.group()) if found else None


def _pixels(value: str | None, em: float) -> float | None:
    found = _LENGTH.fullmatch(value or "")
    if not found:
        return None
    number, unit = float(found.group(1)), found.group(2)
    if unit in ("em", "%"):
        return number * em / (100 if unit == "%" else 1)
    if unit in _PX_PER_UNIT:
        return number * _PX_PER_UNIT[unit]
    return number if number == 0 else None


def _font(value: str, inherited: float) -> float:
    pixels = _pixels(value, inherited)
    return inherited if pixels is None or pixels < 0 else pixels


def _ink(value: str, inherited: Colour | None) -> Colour | None:
    """None for a transparent colour; an unknown one (a variable) counts as readable."""
    if value == "transparent" or _alpha(value) < _FAINT:
        return None
    if value in ("inherit", "unset"):
        return inherited
    return _colour(value) or (128, 64, 32)


def _ground(rules: dict[str, str], inherited: Colour | None) -> Colour | None:
    image = rules.get("background-image", rules.get("background", ""))
    if "url(" in image or "gradient" in image:
        return None
    value = rules.get("background-color", rules.get("background", ""))
    if not value or value in ("transparent", "none", "inherit", "initial", "unset") or _alpha(value) < 0.5:
        return inherited
    return _colour(value)


def _alpha(value: str) -> float:
    if value.startswith(("rgba(", "hsla(")):
        numbers = _NUMBERS.findall(value)
        return float(numbers[3]) if len(numbers) > 3 else 1.0
    return int(value[7:9], 16) / 255 if re.fullmatch(r"#[0-9a-f]{8}", value) else 1.0


def _colour(value: str) -> Colour | None:
    if value in _NAMED:
        return _NAMED[value]
    if re.fullmatch(r"#[0-9a-f]{3}", value):
        value = "#" + "".join(2 * digit for digit in value[1:])
    if re.fullmatch(r"#[0-9a-f]{6}(?:[0-9a-f]{2})?", value):
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
    if value.startswith(("rgb(", "rgba(")):
        # As browsers do with what is no colour, and infinity is no whole number.
        numbers = [round(min(max(float(n), 0), 255)) for n in _NUMBERS.findall(value)[:3]]
        return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None
    return None
