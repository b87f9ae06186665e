"""Makes real files of every format the readers know, with known text."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from email.message import EmailMessage

import docx
import pyarrow as pa
import pyarrow.parquet as pq
from docx.oxml import parse_xml
from openpyxl import Workbook
from PIL import Image
from pptx import Presentation
from reportlab.lib import pdfencrypt
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas

BODY = "最高保障200万元，住院自付超过2万元的部分赔付70%。"
SMALL = "由岚溪财险承保，保险期间一年，既往症不赔。"
_TEXT_BOX = """<w:p xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"
 xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"
 xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"><w:r><mc:AlternateContent>
 <mc:Choice Requires="wps"><w:drawing><wps:txbx><w:txbxContent><w:p><w:r><w:t>{text}</w:t></w:r></w:p>
 </w:txbxContent></wps:txbx></w:drawing></mc:Choice><mc:Fallback><w:pict><w:txbxContent><w:p><w:r><w:t>{text}</w:t>
 </w:r></w:p></w:txbxContent></w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"""


def word(*, picture: bytes | None = None) -> bytes:
    document = docx.Document()
    document.core_properties.title = "岚溪保宣传页"
    document.sections[0].header.paragraphs[0].text = "内部资料 请勿外传"
    document.sections[0].footer.paragraphs[0].text = "详见保险条款"
    document.add_heading("岚溪保开放参保", 1)
    document.add_paragraph(BODY)
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "免赔额", "2万元"
    document.element.body.insert(2, parse_xml(_TEXT_BOX.format(text=SMALL)))
    hidden = document.add_paragraph().add_run("政府兜底")
    hidden.font.hidden = True
    if picture:
        document.add_picture(io.BytesIO(picture))
    return saved(document)


def slides() -> bytes:
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "岚溪保开放参保"
    box = slide.shapes.add_textbox(0, 0, 5_000_000, 900_000)
    box.text_frame.text = BODY
    cells = slide.shapes.add_table(1, 2, 0, 0, 5_000_000, 900_000).table
    cells.cell(0, 0).text, cells.cell(0, 1).text = "承保", "岚溪财险"
    slide.notes_slide.notes_text_frame.text = SMALL
    return saved(deck)


def saved(document: object) -> bytes:
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def pdf(pages: list[list[str]], title: str = "岚溪保折页") -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, pagesize=(400, 600))
    sheet.setTitle(title)
    for lines in pages:
        sheet.setFont("STSong-Light", 14)
        for number, line in enumerate(lines):
            sheet.drawString(40, 540 - 30 * number, line)
        sheet.showPage()
    sheet.save()
    return stream.getvalue()


def workbook(rows: list[list[object]]) -> bytes:
    book = Workbook()
    for row in rows:
        book.active.append(row)
    return saved(book)


def archive(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in members.items():
            package.writestr(name, content)
    return stream.getvalue()


def mail(*, attachments: dict[str, bytes]) -> bytes:
    message = EmailMessage()
    message["Subject"], message["From"] = "岚溪保文案送审", "Li <li@example.com>"
    message["Date"] = "Mon, 02 Nov 2026 09:00:00 +0800"
    message.set_content(BODY + "\n" + SMALL)
    for name, content in attachments.items():
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()


def web_archive(page: str, pictures: dict[str, bytes]) -> bytes:
    message = EmailMessage()
    message["Snapshot-Content-Location"] = "https://example.com/a"
    message["MIME-Version"] = "1.0"
    message.set_content(page, subtype="html")
    message["Content-Location"] = "https://example.com/a"
    message.make_related()
    for address, content in pictures.items():
        message.add_related(content, maintype="image", subtype="jpeg", headers=[f"Content-Location: {address}"])
    return message.as_bytes()


def wechat(body: str, *, stamp: int = 1793489400) -> str:
    """A WeChat article in the structure that its server sends: hidden until its script runs, the day in the script."""
    return f"""<!DOCTYPE html>
<!-- saved from url=(0032)https://mp.weixin.qq.com/s/made -->
<html><head><meta charset="utf-8"><meta property="og:title" content="岚溪保开放参保">
<meta property="og:type" content="article"><title></title></head>
<body id="activity-detail" class="zh_CN"><div id="js_article" class="rich_media"><div class="rich_media_inner">
<h1 class="rich_media_title" id="activity-name">岚溪保开放参保</h1>
<div id="meta_content" class="rich_media_meta_list"><span id="js_author_name">小周</span>
<a href="javascript:void(0);" id="js_name"> 岚溪生活 </a><em id="publish_time"></em></div>
<div class="rich_media_content js_underline_content" id="js_content" style="visibility: hidden; opacity: 0; ">{body}</div>
</div></div><script type="text/javascript">var product = "1700000000"; var ct = "{stamp}"; var nickname = htmlDecode("岚溪生活");</script>
</body></html>"""


def escaped(text: str) -> str:
    """As WeChat writes text into its scripts."""
    return "".join(f"\\x{ord(c):02x}" if c in "\n<>&'\"\\" else c for c in text)


def picture_message(copy: str, pictures: int) -> str:
    """A message of pictures as its server sends it: no article, everything in a script, every picture with a cover of its own."""
    entries = ",".join(
        f"""{{ cdn_url: JsDecode('https://mmbiz.qpic.cn/{n}/0?wx_fmt=jpeg\\x26amp;from=appmsg'), width: '1080' * 1,
        watermark_info: {{ cdn_url: JsDecode('https://mmbiz.qpic.cn/mark{n}/0') }}, poi_info: [],
        share_cover: {{ cdn_url: 'https://mmbiz.qpic.cn/cover{n}/0' }} }}"""
        for n in range(1, pictures + 1)
    )
    return f"""<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta property="og:title" content="岚溪保今天开放">
<meta name="description" content="{escaped(copy[:20])}"></head><body class="zh_CN wx_wap_page">
<div id="js_article"></div><div class="weui-dialog">微信扫一扫可打开此内容</div><script>
window.item_show_type = '8' || '';
window.picture_page_info_list = [];
window.cgiDataNew = {{ nick_name: JsDecode('岚溪生活'), create_time: '1793489400',
  title: '岚溪保今天开放', content_noencode: JsDecode('{escaped(copy)}'),
  picture_page_info_list: [{entries}], }};
</script></body></html>"""


def web_page() -> str:
    """An ordinary news page: navigation, article, fine print in the footer."""
    return f"""<!DOCTYPE html><html lang="zh"><head><title>岚溪保开放参保_岚溪在线</title>
<meta property="og:site_name" content="岚溪在线"><meta property="og:title" content="岚溪保开放参保">
<meta property="article:published_time" content="2026-11-02T08:00:00+08:00"></head><body>
<header><nav><ul><li><a href="/">首页</a></li><li><a href="/m">理财</a></li></ul></nav></header>
<div class="article"><h1>岚溪保开放参保</h1><p>{BODY}</p>
<p>参保时间为2026年11月1日至12月31日，全市基本医保参保人都可以自愿参加，扫码即可办理，也可以到社区服务点咨询。</p>
<p>工作人员介绍，参保人住院后带上病历和发票即可申请，材料齐全的十个工作日内办结，市民可拨打服务热线。</p></div>
<footer><p>{SMALL}</p></footer></body></html>"""


def parquet(rows: list[dict[str, object]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def frames(form: str) -> bytes:
    """Two blank sheets in one file."""
    stream = io.BytesIO()
    first, second = (Image.new("RGB", (120, 80), colour) for colour in ("white", "ivory"))
    first.save(stream, form, save_all=True, append_images=[second])
    return stream.getvalue()


def locked_pdf() -> bytes:
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, encrypt=pdfencrypt.StandardEncryption("geheim", canPrint=0))
    sheet.drawString(9, 9, "x")
    sheet.save()
    return stream.getvalue()


def png_bomb(side: int) -> bytes:
    """A picture whose head promises `side` times `side` pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def drawn(*pages: Callable[[canvas.Canvas], object]) -> bytes:
    """A PDF of 400 by 600 points with one page for each function, which draws it."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, pagesize=(400, 600))
    for draw in pages:
        sheet.setFont("STSong-Light", 14)
        draw(sheet)
        sheet.showPage()
    sheet.save()
    return stream.getvalue()


def repacked(package: bytes, change: Callable[[str, bytes], tuple[str, bytes]]) -> bytes:
    """The zip package with what `change` makes of each name and content."""
    with zipfile.ZipFile(io.BytesIO(package)) as found:
        return archive(dict(change(name, found.read(name)) for name in found.namelist()))
