"""Word files beyond the plain body, and pictures as cameras and scanners leave them."""

import io

import docx
import pytest
from docx.opc.constants import RELATIONSHIP_TYPE as RT
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import OxmlElement, parse_xml
from PIL import Image
from pptx import Presentation
from pptx.opc.package import Part as SlidePart
from pptx.opc.packuri import PackURI as SlideURI

from nlp_compliance.ingest import image, ocr
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Failure, Reader
from nlp_compliance.records import Box, Document
from nlp_compliance.settings import Settings
from tests.ingest import files


@pytest.fixture(autouse=True)
def told(monkeypatch) -> list[tuple[int, int]]:
    """OCR that tells the size of what it is shown: placing is tested here, reading elsewhere."""
    seen: list[tuple[int, int]] = []

    def read(pixels):
        seen.append((pixels.shape[1], pixels.shape[0]))
        return [ocr.Line(f"图{pixels.shape[1]}x{pixels.shape[0]}", Box(0, 0, 9, 9), 0.9)]

    monkeypatch.setattr(ocr, "read_lines", read)
    monkeypatch.setattr(ocr, "available", lambda: True)
    return seen


def picture(width: int, height: int, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(stream, form, **options)
    return stream.getvalue()


def read(data: bytes, name: str, **settings: object) -> Document:
    (item,) = Reader(Limits.of(Settings(**settings))).read_bytes(data, name)
    assert isinstance(item, Document), item.error
    return item


def test_pictures_stand_where_the_text_shows_them_also_in_headers():
    word = docx.Document()
    word.add_paragraph("前文")
    word.add_picture(io.BytesIO(picture(100, 50)))
    word.add_paragraph("后文")
    section = word.sections[0]
    section.different_first_page_header_footer = True
    section.first_page_header.paragraphs[0].text = "首页页眉"
    section.header.paragraphs[0].add_run().add_picture(io.BytesIO(picture(80, 60)))
    document = read(files.saved(word), "a.docx")
    assert document.text.split("\n") == ["图80x60", "首页页眉", "前文", "图100x50", "后文"]


def test_hyphens_that_do_not_break_are_read_and_switched_off_hiding_hides_nothing():
    word = docx.Document()
    run = word.add_paragraph().add_run()
    for part in ("0", None, "65周岁可投保"):
        child = OxmlElement("w:noBreakHyphen" if part is None else "w:t")
        child.text = part
        run._r.append(child)
    run.font.hidden = False
    document = read(files.saved(word), "a.docx")
    assert document.text == "0-65周岁可投保" and document.blocks[0].visible


WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
RUBY = (
    "<w:r><w:ruby><w:rt><w:r><w:t>{}</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>{}</w:t></w:r></w:rubyBase></w:ruby></w:r>"
)


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        # Tracked: the sentence was moved to the end and stands there once.
        (
            "<w:moveFrom><w:r><w:t>由沁河财险承保。</w:t></w:r></w:moveFrom><w:r><w:t>自愿投保。</w:t></w:r>"
            "<w:moveTo><w:r><w:t>由沁河财险承保。</w:t></w:r></w:moveTo>",
            "自愿投保。由沁河财险承保。",
        ),
        (RUBY.format("zhèng", "政") + RUBY.format("fǔ", "府") + "<w:r><w:t>兜底</w:t></w:r>", "政府兜底\nzhèngfǔ"),
        (
            '<w:r><w:t>自付</w:t></w:r><m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math">'
            "<m:r><m:t>1-80%=20%</m:t></m:r></m:oMath>",
            "自付1-80%=20%",
        ),
        (
            '<w:r><w:pict><v:shape xmlns:v="urn:schemas-microsoft-com:vml"><v:textpath string="全城最低价"/>'
            "</v:shape></w:pict></w:r><w:r><w:t>沁河保</w:t></w:r>",
            "沁河保\n全城最低价",
        ),
    ],
    ids=["moved", "guide to pronunciation", "formula", "WordArt"],
)
def test_words_that_stand_beside_the_plain_runs_are_read_once(inside, text):
    word = docx.Document()
    word.element.body.insert(0, parse_xml(f"<w:p {WORD}>{inside}</w:p>"))
    assert read(files.saved(word), "a.docx").text == text


def test_what_a_master_or_layout_shows_on_every_slide_is_read_once():
    deck = Presentation()
    layout = deck.slide_layouts[6]
    for slogan, frame in (("百万医疗，全城首选", deck.slide_masters[0]), ("沁河财险承保", layout)):
        slide = deck.slides.add_slide(layout)
        shape = slide.shapes.add_textbox(0, 0, 99, 99)
        shape.text_frame.text = slogan
        frame.shapes._spTree.append(shape._element)
    deck.slides[1].shapes.add_textbox(0, 0, 99, 99).text_frame.text = "第二页"
    document = read(files.saved(deck), "a.pptx")
    assert document.text == "百万医疗，全城首选\n沁河财险承保\n第二页"
    assert [b.page for b in document.blocks] == [1, 1, 2]


def test_line_breaks_notes_beside_the_notes_and_embedded_files():
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    slide.shapes.add_textbox(0, 0, 99, 99).text_frame.text = "百万\x0b医疗"
    slide.notes_slide.notes_text_frame.text = "口播：先讲免赔额"
    box = slide.shapes.add_textbox(0, 0, 99, 99)
    box.text_frame.text = "不要念小字"
    slide.notes_slide.shapes._spTree.append(box._element)
    assert read(files.saved(deck), "a.pptx").text.split("\n") == ["百万", "医疗", "口播：先讲免赔额", "不要念小字"]
    word = docx.Document()
    word.add_paragraph("首段")
    part = Part(PackURI("/word/embeddings/a.docx"), "application/octet-stream", b"PK", word.part.package)
    word.part.relate_to(part, RT.PACKAGE)
    document = read(files.saved(word), "a.docx")
    assert document.text == "首段" and document.coverage.unread == ("文件中嵌入了其他文件，未读取，请另行提交",)


def test_a_thin_strip_of_print_is_read_and_a_rule_is_not(told):
    word = docx.Document()
    for size in ((700, 38), (700, 12), (39, 39)):
        word.add_paragraph().add_run().add_picture(io.BytesIO(picture(*size)))
    read(files.saved(word), "a.docx")
    assert told == [(700, 38)]


def test_photographs_are_turned_upright(told):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = picture(200, 100, "JPEG", exif=exif)
    assert read(data, "a.jpg").text == "图100x200" and image.shown(data).size == (100, 200)


def test_every_page_of_a_tiff_and_the_first_frame_of_a_gif_or_a_photo():
    pages = read(files.frames("TIFF"), "a.tiff")
    assert [b.page for b in pages.blocks] == [1, 2] and pages.coverage.complete
    moving = read(files.frames("GIF"), "a.gif")
    assert len(moving.blocks) == 1 and moving.coverage.unread == ("图片是动图，只识别了第一帧",)
    word = docx.Document()
    word.add_picture(io.BytesIO(files.frames("GIF")))
    assert read(files.saved(word), "a.docx").coverage.unread == ("第1张图片是动图，只识别了第一帧",)
    photo = files.frames("MPO")
    assert read(photo, "a.jpg").coverage.unread == ("图片含有2幅图，只识别了第一幅",)
    assert read(photo, "a.jpg").source.media_type == "image/jpeg" and image.shown(photo).size == (120, 80)
    (failure,) = Reader(Limits.of(Settings(max_pages=1))).read_bytes(files.frames("TIFF"), "a.tiff")
    assert isinstance(failure, Failure) and failure.error.code == "limit_exceeded"


@pytest.mark.parametrize(
    ("name", "data", "settings", "said"),
    [
        ("a.pdf", files.pdf([["一"], ["二"]]), {"max_pages": 1}, "number of pages is 2; allowed: 1"),
        ("a.pptx", files.slides(), {"max_members": 3}, "number of parts"),
        ("a.zip", files.archive({f"{i}.txt": b"x" for i in range(9)}), {"max_members": 3}, "number of members"),
        ("a.png", picture(300, 300), {"max_pixels": 50_000}, "pixels"),
        ("a.docx", files.word(), {"max_upload_bytes": 1_000}, "size in bytes"),
        ("a.zip", files.archive({"a.txt": b"abcdefgh" * 400}), {"max_unpacked_bytes": 1_000}, "max_unpacked_bytes"),
    ],
)
def test_every_limit_names_what_was_found(name, data, settings, said):
    (failure,) = Reader(Limits.of(Settings(**settings))).read_bytes(data, name)
    assert isinstance(failure, Failure) and failure.error.code == "limit_exceeded" and said in str(failure.error)


def test_a_picture_too_large_inside_a_file_is_named_and_loses_nothing_beside_it():
    document = read(files.word(picture=picture(400, 400)), "a.docx", max_pixels=50_000)
    assert files.BODY in document.text and "无法读取" in document.coverage.unread[0]


def test_a_page_of_text_with_a_poster_on_it_is_read_whole(told):
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.cidfonts import UnicodeCIDFont
    from reportlab.pdfgen import canvas

    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    stream = io.BytesIO()
    sheet = canvas.Canvas(stream, pagesize=(400, 600))
    for side in (300, 20):
        sheet.setFont("STSong-Light", 14)
        sheet.drawString(40, 40, files.BODY)
        sheet.drawImage(ImageReader(io.BytesIO(picture(300, 300))), 50, 200, side, side)
        sheet.showPage()
    sheet.save()
    document = read(stream.getvalue(), "a.pdf")
    assert [(b.page, b.kind) for b in document.blocks] == [(1, "pdf_line"), (1, "ocr_line"), (2, "pdf_line")]
    assert len(told) == 1


SLIDE = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
)
SHAPE = (
    '<p:sp><p:nvSpPr><p:cNvPr id="9" name="n"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
    "<p:txBody><a:bodyPr/><a:p>{}</a:p></p:txBody></p:sp>"
)
RUN = "<a:r><a:t>{}</a:t></a:r>"


def test_what_newer_powerpoint_writes_beside_a_copy_for_old_readers_is_read_once():
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    new, old = SHAPE.format(RUN.format("国家给你兜底")), SHAPE.format(RUN.format("国家给你兜底"))
    both = "<mc:AlternateContent {}><mc:Choice Requires='p14'>{}</mc:Choice><mc:Fallback>{}</mc:Fallback></mc:AlternateContent>"
    slide.shapes._spTree.append(parse_xml(both.format(SLIDE, new, old)))
    math = (
        "<mc:AlternateContent><mc:Choice Requires='a14'><m:oMath xmlns:m="
        "'http://schemas.openxmlformats.org/officeDocument/2006/math'><m:r><m:t>自付20%</m:t></m:r></m:oMath></mc:Choice>"
        "<mc:Fallback><a:r><a:t> </a:t></a:r></mc:Fallback></mc:AlternateContent>"
    )
    shape = parse_xml(SHAPE.format(RUN.format("例") + math).replace("<p:sp>", f"<p:sp {SLIDE}>", 1))
    slide.shapes._spTree.append(shape)
    assert read(files.saved(deck), "a.pptx").text.split("\n") == ["例", "国家给你兜底", "自付20%"]


@pytest.mark.parametrize(
    "words",
    ["<p:cm {}><p:text>{}</p:text></p:cm>", "<p:cm {}><p:txBody><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody></p:cm>"],
)
def test_comments_of_slides_are_read_and_films_and_files_in_them_named(words):
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    package = slide.part.package
    comments = SlidePart(
        SlideURI("/ppt/comments/c.xml"), "application/xml", package, words.format(SLIDE, "先别写免赔额").encode()
    )
    slide.part.relate_to(comments, RT.COMMENTS)
    for place, kind in (("media/a.mp4", RT.VIDEO), ("embeddings/a.xlsx", RT.PACKAGE)):
        slide.part.relate_to(SlidePart(SlideURI(f"/ppt/{place}"), "video/mp4", package, b"x"), kind)
    document = read(files.saved(deck), "a.pptx")
    assert [(b.kind, b.page) for b in document.blocks] == [("comment", 1)] and document.text == "先别写免赔额"
    assert document.coverage.unread == (
        "第1页有视频或音频，未读取，请另行提交文字稿",
        "第1页嵌入了其他文件，未读取，请另行提交",
    )


def test_charts_of_several_levels_and_of_newer_kinds_and_pictures_in_smart_art(told):
    word = docx.Document()
    chart = (
        '<c:chartSpace xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"><c:multiLvlStrCache><c:lvl><c:pt>'
        "<c:v>住院</c:v></c:pt></c:lvl><c:lvl><c:pt><c:v>零门槛</c:v></c:pt></c:lvl></c:multiLvlStrCache></c:chartSpace>"
    )
    newer = (
        '<cx:chartSpace xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/chartex"><cx:strDim><cx:lvl>'
        "<cx:pt>赔付第一</cx:pt></cx:lvl></cx:strDim></cx:chartSpace>"
    )
    art = f"<a:x {SLIDE}><a:p><a:r><a:t>三步投保</a:t></a:r></a:p></a:x>"
    kinds = (chart, RT.CHART), (newer, RT.CHART.replace("/chart", "/chartEx")), (art, RT.DIAGRAM_DATA)
    for number, (xml, kind) in enumerate(kinds):
        part = Part(PackURI(f"/word/parts/{number}.xml"), "application/xml", xml.encode(), word.part.package)
        word.part.relate_to(part, kind)
    part.relate_to(Part(PackURI("/word/media/x.png"), "image/png", picture(90, 70), word.part.package), RT.IMAGE)
    assert read(files.saved(word), "a.docx").text.split("\n") == ["住院", "零门槛", "赔付第一", "三步投保", "图90x70"]
