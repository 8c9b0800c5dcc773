"""The kind of an encoded file, by its first bytes."""

from typing import Literal, get_args

from runtime.errors import DecodeError

Kind = Literal["JPEG", "PNG", "WebP", "BMP", "GIF"]

_ALLOWED: tuple[tuple[Kind, int, bytes], ...] = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WebP", 8, b"WEBP"),
    ("GIF", 0, b"GIF87a"),
    ("GIF", 0, b"GIF89a"),
    ("BMP", 0, b"BM"),
)
# Named so that a refusal helps. OpenCV would decode several of these, in native code that few use.
_REFUSED: tuple[tuple[str, int, bytes], ...] = (
    ("TIFF", 0, b"II*\0"),
    ("TIFF", 0, b"MM\0*"),
    ("BigTIFF", 0, b"II+\0"),
    ("BigTIFF", 0, b"MM\0+"),
    ("JPEG 2000", 4, b"jP  "),
    ("JPEG 2000 codestream", 0, b"\xff\x4f\xff\x51"),
    ("JPEG XL", 4, b"JXL "),
    ("JPEG XL codestream", 0, b"\xff\x0a"),
    ("JPEG XR", 0, b"II\xbc"),
    ("AVIF", 4, b"ftypavif"),
    ("AVIF sequence", 4, b"ftypavis"),
    ("HEIC", 4, b"ftyphei"),
    ("HEIC sequence", 4, b"ftyphev"),
    ("HEIF", 4, b"ftypmif"),
    ("HEIF sequence", 4, b"ftypmsf1"),
    ("CR3 raw", 4, b"ftypcrx "),
    ("MP4 or QuickTime video", 4, b"ftyp"),
    ("OpenEXR", 0, b"\x76\x2f\x31\x01"),
    ("Radiance HDR", 0, b"#?"),
    ("ICO", 0, b"\0\0\1\0"),
    ("CUR", 0, b"\0\0\2\0"),
    ("SGI", 0, b"\x01\xda"),
    ("Sun raster", 0, b"\x59\xa6\x6a\x95"),
    ("PSD", 0, b"8BPS"),
    ("DDS", 0, b"DDS "),
    ("QOI", 0, b"qoif"),
    ("MNG", 0, b"\x8aMNG"),
    ("PDF", 0, b"%PDF"),
    ("PostScript", 0, b"%!PS"),
    ("SVG", 0, b"<svg"),
    ("XML (SVG?)", 0, b"<?xml"),
    ("HTML", 0, b"<!DOCTYPE"),
    ("HTML", 0, b"<html"),
    ("JSON", 0, b"{"),
    ("data URL (send the decoded bytes)", 0, b"data:"),
    ("WAV audio", 8, b"WAVE"),
    ("AVI video", 8, b"AVI "),
    ("FLAC audio", 0, b"fLaC"),
    ("Ogg", 0, b"OggS"),
    ("AIFF audio", 0, b"FORM"),
    ("MP3 audio", 0, b"ID3"),
    ("MP3 audio", 0, b"\xff\xfb"),
    ("ASF video (WMV, WMA)", 0, b"\x30\x26\xb2\x75"),
    ("Matroska or WebM video", 0, b"\x1a\x45\xdf\xa3"),
    ("ZIP archive", 0, b"PK\x03\x04"),
    ("gzip", 0, b"\x1f\x8b"),
)


def image_kind(data: bytes) -> Kind:
    """The kind of an image that is decoded here.

    Raises:
        DecodeError: empty, or of any other kind; named where its first bytes tell.
    """
    if not data:
        raise DecodeError(f"the image is empty; {_allowed_text()}")
    for kind, at, magic in _ALLOWED:
        if data.startswith(magic, at):
            return kind
    raise DecodeError(f"found {_found_text(data)}; {_allowed_text()}")


def _found_text(data: bytes) -> str:
    for name, at, magic in _REFUSED:
        if data.startswith(magic, at):
            return name
    return f"{len(data)} bytes that begin {data[:8].hex(' ')}"


def _allowed_text() -> str:
    return f"allowed: {', '.join(get_args(Kind))}"
