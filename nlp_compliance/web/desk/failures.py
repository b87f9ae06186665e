"""What could not be read or checked, in Chinese: what was found, what is allowed, what to do.

Readers and checker speak English, as the endpoint does, and put their figures into the sentence. Here a sentence is
known by its fixed words and its figures go over into the Chinese one; what no pattern knows gets the sentence of its code.
"""

from __future__ import annotations

import re

from nlp_compliance.store.schema import ReadFailure, Upload

_KINDS = {
    "format_unsupported": "这种文件不能读取；请转存为Word、PPT、Excel、PDF、图片、网页或文本再上传",
    "file_unreadable": "文件打不开，可能已损坏、加密，或内容与扩展名不符；请重新保存后再上传",
    "limit_exceeded": "文件超过允许的大小、页数、行数或处理时间；请拆分后再上传",
    "text_empty": "没有可以检查的文字；请确认文件完整并含有文字",
    "text_too_long": "文字超过允许的长度；请拆分后再上传",
    "text_encoding": "文字编码无法识别；请另存为UTF-8再上传",
    "record_invalid": "表格里有内容无法使用；请核对表头和这一行后再上传",
    "extra_missing": "服务器没有安装读取这种文件所需的组件；请联系管理员，或转存为Word、PDF再上传",
    "input_invalid": "内容无法使用；请核对后再上传",
    "store_error": "服务器上的文件或数据库暂时不可用；请稍后重新上传，仍不行请联系管理员",
}
_OTHER = "未能处理；请重新上传，仍不行请联系管理员"
_READABLE = "请转存为Word、PPT、Excel、PDF、图片、网页或文本再上传"
_SENTENCES = tuple(
    (re.compile(english, re.DOTALL), chinese)
    for english, chinese in (
        (r"size in bytes is (\d+); allowed: (\d+)", r"文件有\1字节，最多\2字节；请拆分，或压缩其中的图片后再上传"),
        (r"number of pages is (\d+); allowed: (\d+)", r"共\1页，最多\2页；请拆分后再上传"),
        (r"number of slides is (\d+); allowed: (\d+)", r"共\1张幻灯片，最多\2张；请拆分后再上传"),
        (r"number of members is (\d+); allowed: (\d+)", r"压缩包里有\1个文件，最多\2个；请分成几个压缩包"),
        (r"number of parts is (\d+); allowed: (\d+)", r"文件由\1个部分组成，最多\2个；请拆分后再上传"),
        (r"pixels is (\d+); allowed: (\d+)", r"图片有\1像素，最多\2像素；请缩小，或裁成几张后再上传"),
        (
            r"too many pixels \(Image size \((\d+) pixels\).*allowed: (\d+)",
            r"图片有\1像素，最多\2像素；请缩小，或裁成几张后再上传",
        ),
        (r"archives stand (\d+) deep; allowed: (\d+)", r"压缩包套了\1层，最多\2层；请先解压再上传"),
        (r"more than (\d+) rows", r"工作表超过\1行；请拆成几个工作表或文件"),
        (r"unpacks to more than (\d+) bytes", r"压缩包解开后超过\1字节；请分成几个压缩包"),
        (
            r"unpacks to more than (\d+) times its size",
            r"其中的文件解开后超过原大小的\1倍，疑似恶意压缩包；请直接上传其中的文件",
        ),
        (r"takes longer than (\d+) s", r"读取超过\1秒仍未完成；请拆分后再上传"),
        (r"has (\d+) characters; allowed: (\d+)", r"文字有\1个字符，最多\2个字符；请拆分后再检查"),
        (r"old or encrypted Office file", "是旧版或加密的Office文件；请去掉密码，另存为docx、xlsx或pptx再上传"),
        (r"is a (rar|7z|gzip) archive", r"是\1压缩包，只能读取zip；请改用zip重新压缩"),
        (r"carries macros", "文件带有宏；请另存为不带宏的docx、xlsx或pptx再上传"),
        (r"no reader for (\.\S+); readable", rf"不能读取\1文件；{_READABLE}"),
        (r"no reader for a file without extension", f"文件没有扩展名，也认不出内容；{_READABLE}"),
        (r"the PDF is encrypted", "PDF有密码；请去掉密码后再上传"),
        (r"the member is encrypted", "压缩包里的文件有密码；请不设密码重新压缩"),
        (
            r"the name says (\S+), the content is something else",
            r"扩展名是\1，内容却不是，或文件不完整；请重新保存后再上传",
        ),
        (r"the PDF is broken", "PDF已损坏；请重新导出后再上传"),
        (r"the picture is broken", "图片已损坏；请重新导出为png或jpg"),
        (r"the workbook (?:is broken|breaks off)", "Excel文件已损坏；请打开后另存为xlsx再上传"),
        (r"the Word file is broken", "Word文件已损坏；请打开后另存为docx再上传"),
        (r"the PowerPoint file is broken", "PPT文件已损坏；请打开后另存为pptx再上传"),
        (r"the Parquet file is broken", "Parquet文件已损坏；请重新导出"),
        (r"the (?:archive|member) is broken", "压缩包已损坏；请重新压缩"),
        (r"the file is cut off or broken", "文件不完整或已损坏；请重新保存或重新压缩"),
        (
            r"line (\d+): a quotation mark is not closed",
            r"第\1行的引号没有成对，这一行没有检查；请补全引号，或重新导出为CSV",
        ),
        (r"holds binary data", "内容不是文字；请核对文件种类"),
        (r"no mail headers", "不是完整的邮件；请重新保存为eml"),
        (r"no HTML can be parsed", "网页内容无法解析；请用浏览器重新保存网页"),
        (r"the reader stopped", "读取中途停止，文件可能已损坏或过大；请重新保存或拆分后再上传"),
        (r"broke off (\d+) times", r"处理时\1次中断，已停止重试，其余内容没有检查；请检查文件后重新上传"),
        (r"the text is empty", "没有文字；请确认内容完整"),
        (r"no visible character", "只有空白或看不见的字符，没有可以检查的文字；请核对原文"),
        (r"the table has no row with a text", "表格里没有一行有文字；请确认表格完整"),
        (r"the bytes are neither UTF-8", "文字编码不是UTF-8、UTF-16、GB18030或Big5；请另存为UTF-8再上传"),
        (
            r"byte order mark says (\S+), but .* at byte (\d+)",
            r"文件标明是\1编码，第\2个字节处却不是；请另存为UTF-8再上传",
        ),
        (r"at byte (\d+); save the table as UTF-8", r"第\1个字节处的编码无法识别；请把表格另存为UTF-8再上传"),
        (r"character (\d+) is the lone surrogate (U\+\w+)", r"第\1个字符（\2）不完整；请从原文重新复制"),
        (r"no heading line", "表格没有表头；第一行须写明各列的名称，例如“标题”“正文”"),
        (
            r"the first line must be headings.*; found (.+)",
            r"第一行不是表头（\1）；第一行须写明各列的名称，文案所在的列叫“正文”",
        ),
        (r"several columns are called (.+?); give", r"有几列同名（\1）；请给每一列不同的名称"),
        (r"no column holds text.*; found (.+)", r"没有一列是文案（现有：\1）；请把文案所在的列命名为“正文”"),
        (r"line (\d+) is no JSON object", r"第\1行不是JSON；请核对这一行"),
        (r"the line holds a ", "这一行不是对象；每行须为带有text字段的JSON对象"),
        (r"field text is ", "这一行没有文字（text字段）；请补上"),
        (r"field published is (.+?); expected", r"发布日期\1无法识别；请写成2026-01-31的样子"),
        (
            r"reading pictures is switched off|pictures need the optional extra",
            "服务器没有启用图片文字识别；请联系管理员，或把图片中的文字粘贴进来",
        ),
        (r"Parquet needs", "服务器没有安装读取Parquet的组件；请联系管理员，或转存为CSV"),
        (
            r"file \w+ (?:is not in the store|was changed on disk)",
            "服务器保存的原始文件丢失或被改动；请重新上传，并告诉管理员",
        ),
    )
)
_COUNTED = re.compile(r"\d{5,}(?=字节|像素|行|个字符|个字节)")
# Where a note of what was not read quotes an error.
_QUOTED = re.compile("无法读取（(.*)）$", re.DOTALL)


def said(code: str, message: str) -> str:
    """The Chinese sentence for an error of a reader or of the checker, given by its code and its own words."""
    return known(message) or _KINDS.get(code, _OTHER)


def of_part(failure: ReadFailure, upload: Upload) -> str:
    """The same for a part of an upload, with the part's name where it is not the whole file."""
    sentence = said(failure.code, failure.message)
    return sentence if failure.name == upload.name else f"{failure.name}：{sentence}"


def known(message: str) -> str | None:
    """The Chinese sentence with the figures of `message`, or None where it is none of the English ones."""
    for english, chinese in _SENTENCES:
        if found := english.search(message):
            return _COUNTED.sub(lambda digits: f"{int(digits[0]):,}", found.expand(chinese))
    return None


def unread(part: str) -> str:
    """What a report names as not read; where it quotes an error, in Chinese."""
    return _QUOTED.sub(lambda quoted: f"无法读取：{said('file_unreadable', quoted[1])}", part)
