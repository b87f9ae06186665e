"""Makes a folder as monitoring teams hold it: some seventy files of every format, bad ones among them.

    python -m tests.ingest.mixed FOLDER

The same folder every time. `EXPECTED_FAILURES` names the files that cannot be read and why.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from itertools import cycle, islice
from pathlib import Path

from PIL import Image

from tests.ingest import files

FIXTURES = Path(__file__).parents[1] / "fixtures"
_TOWNS = ("沁河", "云溪", "黎川", "桐湖", "岭安", "溪山", "鹤岭", "兰亭", "青禾", "澄湖")
_ACCOUNTS = ("生活圈", "本地宝", "民生在线", "保险课堂")
_COPY = (
    "{town}保由政府兜底，不用担心赔不出来，全市人人都该有一份。",
    "{town}保是全国最好的医疗保险，什么病都能赔，买了就不用花钱看病。",
    "只剩最后三天，{town}保今晚截止，错过再等一年，名额有限先到先得。",
    "{town}保等于医保升级版，参加基本医保的人必须同时参加。",
    "{town}保每天不到三毛钱，最高保障300万元，扫码立即投保。",
    "{town}保今日开放参保，由{town}财险承保，保险期间一年，免赔额1.8万元，赔付比例70%，既往症不赔。",
    "{town}市医疗保障局今日公布门诊统筹报销流程，市民可到社区服务点咨询。",
)
EXPECTED_FAILURES = {
    "坏/截断.docx": "file_unreadable",
    "坏/截断.pdf": "file_unreadable",
    "坏/截断.zip": "file_unreadable",
    "坏/加密.pdf": "file_unreadable",
    "坏/宏.docm": "format_unsupported",
    "坏/旧版.doc": "format_unsupported",
    "坏/包.rar": "format_unsupported",
    "坏/其实是文本.docx": "file_unreadable",
    "坏/炸弹.zip": "limit_exceeded",
    "坏/炸弹.png": "limit_exceeded",
    "坏/二进制.txt": "file_unreadable",
    "坏/未知.bin": "format_unsupported",
    "坏/无正文.csv": "record_invalid",
}


def copies(count: int) -> list[tuple[str, str]]:
    """(account, text), going round towns, accounts and kinds of copy."""
    towns, accounts, kinds = cycle(_TOWNS), cycle(_ACCOUNTS), cycle(_COPY)
    made = (
        (town + account, kind.format(town=town)) for town, account, kind in zip(towns, accounts, kinds, strict=False)
    )
    return list(islice(made, count))


def articles() -> dict[str, bytes]:
    out = {}
    for number, (account, text) in enumerate(copies(20)):
        page = files.wechat(
            f"<section><p>{text}</p><p>更多内容请咨询客服。</p></section>", stamp=1790000000 + number * 200_000
        )
        out[f"公众号/{number:02}.html"] = (
            page.replace("岚溪生活", account).replace("岚溪保开放参保", text[:14]).encode()
        )
    # One copy that four accounts spread word for word, with their own greeting.
    story = (
        "这几天大家都在问怎么参保。" + _COPY[0].format(town="沁河") * 4 + "住院费用最高保障200万元，老人小孩都能买。"
    )
    for number, account in enumerate(_ACCOUNTS):
        out[f"转发/{number}.html"] = (
            files.wechat(f"<p>{story}</p><p>来自{account}</p>").replace("岚溪生活", account).encode()
        )
    return out


def documents() -> dict[str, bytes]:
    busy, scan = (FIXTURES / "poster-busy.jpg").read_bytes(), (FIXTURES / "scan.pdf").read_bytes()
    page = '<html><head><title>海报</title></head><body><p>今日开放</p><img src="{src}"></body></html>'
    return {
        "文案/传单.docx": files.word(),
        "文案/带图传单.docx": files.word(picture=busy),
        "文案/宣讲.pptx": files.slides(),
        "文案/折页.pdf": files.pdf([["岚溪保开放参保", files.BODY], [files.SMALL]]),
        "文案/扫描件.pdf": scan,
        "文案/送审.eml": files.mail(attachments={"文案.docx": files.word()}),
        "文案/网页.mhtml": files.web_archive(
            page.format(src="https://a.example/1.jpg"), {"https://a.example/1.jpg": busy}
        ),
        "文案/新闻.html": files.web_page().encode(),
        "文案/存档.html": page.format(src="存档_files/1.jpg").encode(),
        "文案/存档_files/1.jpg": busy,
        "海报/海报.jpg": busy,
        "海报/海报.webp": _as(busy, "WEBP"),
        "海报/海报.gif": _as(busy, "GIF"),
        "海报/海报.tiff": _as(busy, "TIFF"),
    }


def texts() -> dict[str, bytes]:
    encodings = cycle(("utf-8", "utf-8-sig", "gb18030", "utf-16"))
    made = zip(range(12), encodings, copies(12), strict=False)
    return {f"短文/{n:02}-{encoding}.txt": text.encode(encoding) for n, encoding, (_, text) in made}


def tables() -> dict[str, bytes]:
    rows = [
        {"编号": f"T{n}", "公众号": account, "发布时间": f"2026-11-{1 + n % 20:02}", "正文": text, "阅读": 100 * n}
        for n, (account, text) in enumerate(copies(8))
    ]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0])
    writer.writeheader()
    writer.writerows({**row, "编号": f"C{n}"} for n, row in enumerate(rows))
    jsonl = "\n".join(json.dumps({**row, "编号": f"J{n}"}, ensure_ascii=False) for n, row in enumerate(rows))
    return {
        "表/导出.csv": stream.getvalue().encode("gb18030"),
        "表/导出.xlsx": files.workbook([list(rows[0]), *([f"X{r['编号']}", *list(r.values())[1:]] for r in rows)]),
        "表/导出.jsonl": (jsonl + "\n{坏行").encode(),
        "表/月份=2026-11/part-0.parquet": files.parquet([{**row, "编号": f"P{n}"} for n, row in enumerate(rows)]),
    }


def packed() -> dict[str, bytes]:
    inner = files.archive({f"{n}.txt": text.encode() for n, (_, text) in enumerate(copies(3))})
    return {
        "包/十一月.zip": files.archive(
            {"文案.docx": files.word(), "内层.zip": inner, "表.csv": tables()["表/导出.csv"]}
        ),
        "包/邮件.zip": files.archive({"送审.eml": files.mail(attachments={})}),
    }


def bad() -> dict[str, bytes]:
    return {
        "坏/截断.docx": files.word()[:3_000],
        "坏/截断.pdf": b"%PDF-1.7\n1 0 obj",
        "坏/截断.zip": files.archive({"a.txt": b"x" * 5_000})[:60],
        "坏/加密.pdf": files.locked_pdf(),
        "坏/宏.docm": files.archive({"word/document.xml": b"<x/>", "word/vbaProject.bin": b"x"}),
        "坏/旧版.doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(200),
        "坏/包.rar": b"Rar!\x1a\x07\x00",
        "坏/其实是文本.docx": "岚溪保开放参保".encode(),
        "坏/炸弹.zip": files.archive({"a.txt": bytes(30_000_000)}),
        "坏/炸弹.png": files.png_bomb(50_000),
        "坏/二进制.txt": b"ab\x00c",
        "坏/未知.bin": b"\x01\x02\x03",
        "坏/无正文.csv": b"a,b\n1,2\n",
    }


def _as(picture: bytes, form: str) -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).save(stream, form)
    return stream.getvalue()


def make(folder: Path) -> int:
    """Writes all files below `folder`; returns how many."""
    made = articles() | documents() | texts() | tables() | packed() | bad()
    for name, content in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return len(made)


if __name__ == "__main__":
    sys.stderr.write(f"{make(Path(sys.argv[1]))} files in {sys.argv[1]}\n")
