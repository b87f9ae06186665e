"""Renders the picture fixtures under tests/fixtures (`make fixtures`); needs a font with Chinese characters.

Every picture has a `.txt` beside it with the text that was drawn, line by line, so that OCR can be measured on it.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

FOLDER = Path(__file__).parent / "fixtures"
FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)

TALL = [
    (64, "黎川惠民保"),
    (40, "2027年度 开放参保"),
    (30, "商业补充医疗保险 自愿投保"),
    (34, "医保局兜底 老人也能安心"),
    (30, "住院自付费用最高保障180万元"),
    (30, "18种特定药品纳入保障"),
    (30, "不限年龄 不限职业 免体检"),
    (28, "适合人群：黎川市基本医保参保人"),
    (28, "保费：一人一年89元"),
    (28, "参保时间：2026年11月1日至12月31日"),
    (26, "就医后把病历和发票拍照上传即可申请"),
    (26, "客服电话：工作日九点到十七点"),
    (20, "承保公司：黎禾财产保险股份有限公司"),
    (20, "保险期间一年，自2027年1月1日零时起"),
    (18, "免赔额1.8万元，超过部分赔付70%，特定既往症赔付35%"),
    (18, "美容整形、牙科治疗、境外就医、戒毒治疗不在保障范围"),
    (18, "详细内容以保险条款为准"),
]
BUSY = [
    (44, "桐湖全民保来了"),
    (30, "全家一起参保"),
    (26, "大病住院都能报"),
    (24, "每天只要两毛五"),
    (22, "桐湖财险 桐安人寿联合承保"),
    (22, "扫码了解详情"),
]
SCAN = [
    (30, "关于2027年度岭安保参保的告知书"),
    (22, "各位业主："),
    (22, "岭安保由岭岚财险承保，保险期间一年。"),
    (22, "医保目录内个人自付超过2万元的部分，"),
    (22, "按照60%赔付，年度限额100万元。"),
    (22, "既往症人员可以投保，相关费用不予赔付。"),
    (22, "是否参保由本人自愿决定。"),
    (22, "岭岚财险客户服务部"),
    (22, "2026年11月3日"),
]


def font(size: int) -> ImageFont.FreeTypeFont:
    for path in FONTS:
        if Path(path).exists():
            return ImageFont.truetype(path, size)
    sys.exit("no font with Chinese characters found; install one, e.g. fonts-noto-cjk")


def draw(
    lines: list[tuple[int, str]], width: int, gap: int, ground: Image.Image | None = None, ink: str = "#202428"
) -> Image.Image:
    height = sum(size + gap for size, _ in lines) + gap
    picture = ground.resize((width, height)) if ground else Image.new("RGB", (width, height), "#fff6e8")
    pen = ImageDraw.Draw(picture)
    top = gap
    for size, text in lines:
        letters = font(size)
        pen.text(((width - pen.textlength(text, font=letters)) / 2, top), text, fill=ink, font=letters)
        top += size + gap
    return picture


def busy_ground(rng: random.Random) -> Image.Image:
    picture = Image.new("RGB", (64, 64))
    picture.putdata([(rng.randint(190, 255), rng.randint(200, 255), rng.randint(210, 255)) for _ in range(64 * 64)])
    return picture.filter(ImageFilter.GaussianBlur(3))


def save(picture: Image.Image, name: str, lines: list[tuple[int, str]], **options: object) -> None:
    picture.save(FOLDER / name, **options)
    (FOLDER / name).with_suffix(".txt").write_text("".join(text + "\n" for _, text in lines), "utf-8")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    rng = random.Random(7)
    save(draw(TALL, 720, 220), "poster-tall.png", TALL, optimize=True)
    save(draw(BUSY, 640, 36, busy_ground(rng), "#7a1020"), "poster-busy.jpg", BUSY, quality=70)
    page = draw(SCAN, 900, 34).convert("L").rotate(0.6, fillcolor=250).convert("RGB")
    save(page, "scan.pdf", SCAN, resolution=110)


if __name__ == "__main__":
    main()
