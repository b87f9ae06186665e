"""Makes real files of every format the readers know, with known text."""

from __future__ import annotations

import io
import zipfile
from email.message import EmailMessage

import docx
from docx.oxml import parse_xml
from openpyxl import Workbook
from pptx import Presentation
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


def pdf(pages: list[list[str]]) -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, pagesize=(400, 600))
    sheet.setTitle("岚溪保折页")
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
