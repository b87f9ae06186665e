"""WeChat pages as they are really saved, and other pages: what is seen, what is hidden, what cards and players say."""

from datetime import date

import pytest

from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.styles import Seen, background_picture
from nlp_compliance.ingest.wechat import has_pictures, read_html
from nlp_compliance.records import Document
from nlp_compliance.settings import Settings
from tests.ingest import files

LIMITS = Limits.of(Settings())


def read(page: str, **options) -> Document:
    return read_html(page.encode(), identifier="a.html", limits=LIMITS, **options)


def said(document: Document, *, kind: str | None = None, visible: bool = True) -> list[str]:
    blocks = [b for b in document.blocks if b.visible == visible and kind in (None, b.kind)]
    return [document.text[b.start : b.end] for b in blocks]


def test_a_raw_article_is_visible_though_its_body_is_saved_hidden():
    document = read(files.wechat("<section><p>政府兜底</p></section>"))
    assert said(document) == ["岚溪保开放参保", "政府兜底"]
    assert document.source.account == "岚溪生活" and document.source.author == "小周"
    assert document.source.url == "https://mp.weixin.qq.com/s/made"


def test_the_day_is_the_chinese_one():
    # 2026-10-31 23:30 in UTC is already November in China.
    assert read(files.wechat("<p>正文</p>", stamp=1793489400)).source.published == date(2026, 11, 1)
    news = files.web_page().replace("2026-11-02T08:00:00+08:00", "2025-12-31T16:30:00Z")
    assert read(news).source.published == date(2026, 1, 1)


@pytest.mark.parametrize(
    ("style", "visible"),
    [
        ("", True),
        ("font-size: 15px; color: rgb(63, 63, 63)", True),
        ("display: none !important", False),
        ("visibility:hidden", False),
        ("opacity: 0", False),
        ("opacity: 0.9", True),
        ("font-size: 0", False),
        ("font-size:1px", False),
        ("font-size:2pt", False),
        ("font-size: 0.1em", False),
        ("color: #FFF", False),
        ("color: rgba(0,0,0,0)", False),
        ("color:#fefefe;background-color:#ffffff", False),
        ("color:white;background:#c00", True),
        ("color:#fff;background-image:linear-gradient(red,blue)", True),
        ("text-indent:-9999px", False),
        ("height:0;overflow:hidden", False),
        ("height:200px;overflow:hidden", True),
        ("color: var(--ink)", True),
        pytest.param(f"color: rgb({'9' * 400}, 0, 0)", True, id="no colour"),
    ],
)
def test_text_that_readers_cannot_see_is_marked(style, visible):
    document = read(files.wechat(f'<section style="{style}"><p>政府兜底</p></section><p>正文</p>'))
    assert ("政府兜底" in said(document)) == visible and "政府兜底" in document.text


def test_an_inner_style_counts_before_an_outer_one():
    nested = (
        '<section style="font-size:0;line-height:0"><span style="font-size:16px">看得见</span>看不见</section>'
        '<p style="visibility:hidden">藏<b style="visibility:visible">露</b></p>'
        '<div style="display:none"><p style="display:block;font-size:20px">不在</p></div>'
    )
    document = read(files.wechat(nested))
    assert said(document)[1:] == ["看得见", "露"]
    assert said(document, visible=False) == ["看不见", "藏", "不在"]


def test_cards_and_captions_are_read():
    document = read(
        files.wechat(
            '<mp-common-profile class="x" data-nickname="岚溪保服务号" data-signature="医保局官方指定" data-id="Mz"></mp-common-profile>'
            '<mp-miniprogram data-miniprogram-title="点我投保" data-miniprogram-nickname="岚溪保"></mp-miniprogram>'
            '<mpvoice name="局长谈岚溪保"></mpvoice><mpvideosnap data-desc="看病不花钱"></mpvideosnap>'
            '<iframe class="video_iframe" data-title="三分钟看懂岚溪保" data-vidtype="2"></iframe>'
        )
    )
    assert said(document, kind="card") == [
        "岚溪保服务号 医保局官方指定",
        "点我投保 岚溪保",
        "局长谈岚溪保",
        "看病不花钱",
    ]
    assert said(document, kind="caption") == ["三分钟看懂岚溪保"]


def test_every_way_of_placing_a_picture_is_noticed():
    dot = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    page = files.wechat(
        f'<img src="{dot}" data-src="https://mmbiz.qpic.cn/1"><img src="{dot}">'
        "<section style=\"background-image: url('https://mmbiz.qpic.cn/2')\"></section>"
        '<video poster="https://mmbiz.qpic.cn/3"></video><img srcset="https://mmbiz.qpic.cn/4 1x, https://mmbiz.qpic.cn/5 2x">'
    )
    asked = []
    document = read(page, find_picture=lambda address: asked.append(address))
    assert asked == [f"https://mmbiz.qpic.cn/{i}" for i in (1, 2, 3, 4)]
    assert document.coverage.unread == ("4张图片未识别文字",)


def test_a_picture_that_is_named_again_for_browsers_without_scripts_or_in_other_formats_is_one():
    page = (
        '<html><body><img data-src="https://example.com/1.jpg"><noscript>请打开脚本<img src="https://example.com/1.jpg">'
        '</noscript><picture><source srcset="https://example.com/2.avif"><img src="https://example.com/2.jpg"></picture>'
        '<object type="image/png" data="https://example.com/3.png"></object><object type="text/html" data="b.html"></object>'
        "</body></html>"
    )
    asked = []
    document = read(page, find_picture=lambda address: asked.append(address))
    assert asked == [f"https://example.com/{name}" for name in ("1.jpg", "2.jpg", "2.avif", "3.png")]
    assert document.coverage.unread == ("3张图片未识别文字",)
    assert document.text == "请打开脚本" and not document.blocks[0].visible


def test_pictures_that_share_a_placeholder_until_they_are_loaded_are_several():
    page = "".join(
        f'<img src="grey.gif" data-original="{n}.jpg"><noscript><img src="{n}.jpg"></noscript>' for n in (1, 2, 3)
    )
    asked = []
    document = read(f"<html><body>{page}</body></html>", find_picture=lambda address: asked.append(address))
    assert asked == ["1.jpg", "grey.gif", "2.jpg", "3.jpg"] and document.coverage.unread == ("3张图片未识别文字",)


def test_other_pages_keep_their_fine_print_and_mark_their_frame():
    document = read(files.web_page())
    assert document.source.account == "岚溪在线" and document.source.published == date(2026, 11, 2)
    assert files.SMALL in said(document, kind="page_frame") and files.BODY in said(document, kind="paragraph")
    assert document.source.title == "岚溪保开放参保"


def test_words_in_fields_and_buttons_are_read_and_neighbours_are_not_glued_together():
    page = (
        "<html><body><center>本产品不保本</center><button>立即投保</button><button>本金</button>"
        '<input type="submit" value="稳赚不赔，马上抢"><input type="hidden" value="a1b2"><input placeholder="填手机号领红包">'
        '<select><optgroup label="政府推荐款"><option>甲款</option></optgroup></select></body></html>'
    )
    assert read(page).text.split("\n") == [
        "本产品不保本", "立即投保", "本金", "稳赚不赔，马上抢", "填手机号领红包", "政府推荐款", "甲款",
    ]  # fmt: skip


def test_a_guide_to_the_pronunciation_follows_its_words():
    page = "<html><body><p>沁河保<ruby>兜<rp>(</rp><rt>dōu</rt><rp>)</rp>底<rt>dǐ</rt></ruby>了</p><p>下一段</p></body></html>"
    assert read(page).text.split("\n") == ["沁河保兜底了", "dōudǐ", "下一段"]


def test_a_picture_message_with_an_empty_article_is_read_from_its_own_part():
    page = '<html><body><div id="js_content"> </div><div id="js_image_content">保本保息的沁河保</div></body></html>'
    assert read(page).text == "保本保息的沁河保"


def test_a_picture_message_is_read_from_its_head():
    page = '<html><head><meta property="og:title" content="海报"><meta name="description" content="政府兜底">'
    assert said(read(page + "</head><body></body></html>")) == ["海报", "政府兜底"]


def test_a_picture_message_that_no_browser_has_shown_is_read_from_its_scripts():
    copy = '政府兜底的岚溪保来了🎉\n<a class="wx_img_refer_link" data-seq="2">图2</a>里有"全部"保障 & 价格'
    asked = []
    document = read(files.picture_message(copy, pictures=3), find_picture=lambda address: asked.append(address))
    assert said(document, kind="paragraph") == [
        "政府兜底的岚溪保来了🎉", '图2里有"全部"保障 & 价格', "微信扫一扫可打开此内容",
    ]  # fmt: skip
    assert asked == [f"https://mmbiz.qpic.cn/{n}/0?wx_fmt=jpeg&from=appmsg" for n in (1, 2, 3)], "no marks, no covers"
    assert document.coverage.unread == ("3张图片未识别文字",)
    assert document.source.account == "岚溪生活" and document.source.published == date(2026, 11, 1)


def test_the_pictures_of_a_message_that_a_browser_has_shown_are_read_above_its_words():
    page = (
        '<html><body><div id="page_top_area"><div class="swiper_item_img"><img src="a_files/640.jpg"></div></div>'
        '<div id="js_content"><div id="js_image_content"><p id="js_image_desc">零免赔的岚溪保</p></div></div>'
        '<script>picture_page_info_list: [{cdn_url: "https://mmbiz.qpic.cn/1/0"}]</script></body></html>'
    )
    asked = []
    document = read(page, find_picture=lambda address: asked.append(address))
    assert document.text == "零免赔的岚溪保"
    assert asked == ["a_files/640.jpg"] and document.coverage.unread == ("1张图片未识别文字",)


def test_an_article_that_is_shown_late_is_read_from_its_script():
    body = "<section><p>岚溪保保本<br>保息</p>\n<p>详见<b>条款</b></p></section>"
    page = files.wechat("").replace(
        "</body>", f"<script>d = {{content_noencode: '{files.escaped(body)}'}}</script></body>"
    )
    assert said(read(page)) == ["岚溪保开放参保", "岚溪保保本", "保息", "详见条款"]
    whole = files.wechat("<p>正文</p>").replace(
        "</body>", f"<script>content_noencode: '{files.escaped(body)}'</script></body>"
    )
    assert said(read(whole)) == ["岚溪保开放参保", "正文"], "nothing twice"


@pytest.mark.parametrize(
    "script",
    [
        "content_noencode: 'nie zu",
        "content_noencode: '<html><head></head></html>'",
        "picture_page_info_list: [[[{cdn_url: '1'",
        # Read once, not anew from each mark.
        pytest.param("picture_page_info_list: [" + '\\"' * 200_000, id="marks"),
        "\x00'\\",
    ],
)
def test_scripts_that_break_off_lose_nothing_beside_them(script):
    document = read(f"<html><body><p>政府兜底</p><script>{script}</script></body></html>")
    assert document.text == "政府兜底"


def test_deep_nesting_is_not_cut():
    document = read(files.wechat("<section>" * 400 + "最深处" + "</section>" * 400))
    assert "最深处" in document.text
    late = "<section>" * 400 + "最深处" + "</section>" * 400
    assert read(f"<html><body><script>content_noencode: '{late}'</script></body></html>").text == "最深处"


def test_a_page_whose_pictures_nobody_sees_in_its_bytes_is_read_where_ocr_may_run():
    page = '<html><body><img src="1.jpg"></body></html>'
    assert has_pictures(page.encode("utf-16")) and has_pictures(page.encode()) and not has_pictures(b"<html>")


def test_background_pictures():
    assert background_picture('background: #fff url("a.png") no-repeat') == "a.png"
    assert background_picture("color:red") is None
    assert Seen().visible
