"""E-mail (.eml) and web archives (.mhtml): both are MIME messages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.utils import parsedate_to_datetime
from mimetypes import guess_extension

from nlp_compliance.errors import UnreadableFileError
from nlp_compliance.ingest.assemble import Assembly
from nlp_compliance.ingest.days import day_in_beijing
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.plain import decode
from nlp_compliance.ingest.wechat import read_html
from nlp_compliance.records import Document, Source

_SIGNATURES = ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature")
# Mail programs state the old name and write characters that only its successor has.
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030"}


def looks_like_mail(data: bytes) -> bool:
    head = data[:4096].lower()
    return b"mime-version:" in head or (
        head.startswith((b"from:", b"received:", b"return-path:")) and b"\nsubject:" in head
    )


def read_mail(data: bytes, name: str, limits: Limits) -> Document:
    """The message itself; what is attached comes from `attachments`. Raises UnreadableFileError."""
    message = _parsed(data, name)
    pictures = _pictures(message)
    if pages := _web_archive(message):
        page = read_html(pages[0], identifier=name, path=name, limits=limits, find_picture=pictures.get)
        return _with_frames(page, pages[1:], limits, pictures)
    assembly = Assembly()
    assembly.add(str(message["subject"] or ""), "title")
    for body in _bodies(message):
        if body.get_content_type() != "text/html":
            for line in _text(body).splitlines():
                assembly.add(line)
            continue
        _take_page(assembly, _bytes(body), limits, pictures)
    source = Source(
        path=name,
        media_type="message/rfc822",
        title=str(message["subject"] or "") or None,
        author=str(message["from"] or "") or None,
        published=day_in_beijing(parsedate_to_datetime(str(message["date"]))) if _dated(message) else None,
    )
    return assembly.document(name, source)


def _with_frames(page: Document, frames: Sequence[bytes], limits: Limits, pictures: dict[str, bytes]) -> Document:
    """The page with what the pages framed in it say, behind its own text."""
    if not frames:
        return page
    assembly = Assembly()
    assembly.take(page)
    for frame in frames:
        _take_page(assembly, frame, limits, pictures)
    return assembly.document(page.id, page.source)


def _take_page(assembly: Assembly, data: bytes, limits: Limits, pictures: dict[str, bytes]) -> None:
    """The blocks of a page that is a part of the whole; an empty one, as of advertisements, has none."""
    if not data.strip():
        return
    try:
        assembly.take(read_html(data, identifier="", limits=limits, find_picture=pictures.get))
    except UnreadableFileError:
        assembly.unread("其中一个网页无法解析，未读取")


def attachments(data: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """(file name, bytes) of every attachment of a message; a web archive has none."""
    message = _parsed(data, name)
    if _web_archive(message):
        return
    pages = [_text(body) for body in _bodies(message) if body.get_content_type() == "text/html"]
    number = 0
    for part in _leaves(message):
        address = _address(part)
        placed = address is not None and any(address in page for page in pages)
        if _is_text(part) or placed or part.get_content_type() in _SIGNATURES:
            continue
        number += 1
        inner = part.get_payload(0) if part.get_content_type() == "message/rfc822" else None
        if isinstance(inner, Message):
            yield part.get_filename() or f"message-{number}.eml", inner.as_bytes()
        else:
            suffix = guess_extension(part.get_content_type()) or ""
            yield part.get_filename() or f"attachment-{number}{suffix}", _bytes(part)


def _leaves(part: Message) -> Iterator[Message]:
    """All parts that hold no others, in order; a forwarded message is one."""
    if inner := _inside(part):
        for one in inner:
            yield from _leaves(one)
    else:
        yield part


def _inside(part: Message) -> list[Message]:
    """The parts that a part is made of; a forwarded message is a whole of its own."""
    if not part.is_multipart() or part.get_content_type() == "message/rfc822":
        return []
    return [one for one in part.get_payload() if isinstance(one, Message)]


def _bodies(part: Message) -> list[Message]:
    """The texts of the message in order: of alternatives the last with HTML, else the last with text; of others all."""
    inner = _inside(part)
    if not inner:
        return [part] if _is_text(part) else []
    found = [bodies for one in inner if (bodies := _bodies(one))]
    if part.get_content_type() != "multipart/alternative":
        return [body for bodies in found for body in bodies]
    pages = [bodies for bodies in found if any(b.get_content_type() == "text/html" for b in bodies)]
    return (pages or found or [[]])[-1]


def _is_text(part: Message) -> bool:
    attached = part.get_filename() is not None or part.get_content_disposition() == "attachment"
    return part.get_content_type() in ("text/plain", "text/html") and not attached


def _parsed(data: bytes, name: str) -> EmailMessage:
    message = message_from_bytes(data, policy=policy.default)
    if not isinstance(message, EmailMessage) or not message.keys():
        raise UnreadableFileError(f"{name}: no mail headers are there; save the message again as eml")
    return message


def _dated(message: EmailMessage) -> bool:
    try:
        return message["date"] is not None and parsedate_to_datetime(str(message["date"])) is not None
    except (TypeError, ValueError):
        return False


def _web_archive(message: EmailMessage) -> list[bytes]:
    """The pages of a saved web archive, its frames behind it: multipart/related whose HTML parts carry a Content-Location.

    A letter may be built the same way, but has been sent to somebody.
    """
    if message.get_content_type() != "multipart/related" or message["to"] or message["received"]:
        return []
    snapshot = message["snapshot-content-location"]
    return [
        _bytes(part)
        for part in message.walk()
        if part.get_content_type() == "text/html" and (part["content-location"] or snapshot)
    ]


def _pictures(message: EmailMessage) -> dict[str, bytes]:
    """Pictures by the address under which the page names them."""
    out: dict[str, bytes] = {}
    for part in message.walk():
        if part.get_content_maintype() == "image":
            data = _bytes(part)
            if part["content-location"]:
                out[str(part["content-location"])] = data
            if address := _address(part):
                out[address] = data
    return out


def _address(part: Message) -> str | None:
    """What a page of the message calls this part (RFC 2392)."""
    return "cid:" + str(part["content-id"]).strip("<> ") if part["content-id"] else None


def _text(part: Message) -> str:
    """By the encoding that the part states, where it knows that and fits; the standard library would put � instead."""
    data, stated = _bytes(part), part.get_content_charset("utf-8")
    with contextlib.suppress(LookupError, UnicodeDecodeError):
        return data.decode(_WIDER.get(stated, stated))
    return decode(data)


def _bytes(part: object) -> bytes:
    payload = part.get_payload(decode=True)  # type: ignore[attr-defined]
    return payload if isinstance(payload, bytes) else b""
