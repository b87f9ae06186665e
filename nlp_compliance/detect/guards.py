"""Denial, correction and quotation around a match: words that take back what they repeat (labels.md, stance)."""

from __future__ import annotations

import re

_BEFORE_CHARS = 10
_AFTER_CHARS = 14
_DENIED_BEFORE = re.compile(
    r"(?:不是|并非|并不|非由|不能|不会|不得|不可|不应|不属于|不存在|不承诺|不保证|没有|未|勿信|勿听|谨防|严禁|禁止|杜绝|请勿|切勿|别信|不要|莫信|不等于|不代表|无法|拒绝|绝非|决非|从未|从不|谁也不)(?!错过|比)[^，。！？；]{0,8}$"
)
_DENIED_AFTER = re.compile(
    r"^[”」』\"'）)]{0,2}[^，。！？；]{0,4}(?:是假的|不实|不属实|是谣言|系谣言|属误导|等说法|的说法|等话术|的话术|不可信|都是骗|是骗人|不存在|是误导|等字样|等表述|等用语|等宣传|不能信|均与)"
)
_ANSWERED_NO = re.compile(r"^[^。！？]{0,12}[吗么呢][？?]\s*(?:答[:：]?)?\s*(?:不|否|没|并非|不是|错|假|当然不)")
_QUOTES = re.compile(r"[“「『‘\"《【][^”」』’\"》】]{0,60}$")
_WARNS = re.compile(
    "风险提示|警惕|谨防|谣言|辟谣|话术|宣称|声称|涉嫌|误导|违规|虚假|不得使用|严禁使用|打着|冒用|所谓|投诉|处罚|不实|夸大|吹成|鼓吹|骗局|诈骗"
)


def guarded(text: str, start: int, end: int) -> bool:
    """Whether normal characters [start, end) are denied, quoted in a warning, or asked and then denied."""
    before, after = text[max(0, start - _BEFORE_CHARS) : start], text[end : end + _AFTER_CHARS]
    if _DENIED_BEFORE.search(before) or _DENIED_AFTER.search(after) or _ANSWERED_NO.search(text[end : end + 40]):
        return True
    quoted = _QUOTES.search(text[max(0, start - 60) : start]) is not None
    return quoted and _WARNS.search(text[max(0, start - 120) : end + 120]) is not None
