"""Names of file types for error messages, by the first bytes of a file.

Each decoder has its own list of accepted types.
"""

_SIGNATURES: tuple[tuple[str, int, bytes], ...] = (  # name, offset, bytes; the first match counts
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WebP", 8, b"WEBP"),
    ("GIF", 0, b"GIF87a"),
    ("GIF", 0, b"GIF89a"),
    ("BMP", 0, b"BM"),
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
    ("M4A audio", 4, b"ftypM4A "),
    ("M4B audio", 4, b"ftypM4B "),
    ("M4P audio", 4, b"ftypM4P "),
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
    ("MP3 audio", 0, b"\xff\xfa"),
    ("MP3 audio", 0, b"\xff\xf3"),
    ("MP3 audio", 0, b"\xff\xf2"),
    ("ASF video (WMV, WMA)", 0, b"\x30\x26\xb2\x75"),
    ("Matroska or WebM video", 0, b"\x1a\x45\xdf\xa3"),
    ("ZIP archive", 0, b"PK\x03\x04"),
    ("gzip", 0, b"\x1f\x8b"),
)
# brands of images in the container of MP4, in which FFmpeg would also find a clip or a sound
_IMAGE_BRANDS = (b"avif", b"avis", b"hei", b"hev", b"mif", b"msf1", b"crx ")


def type_name(data: bytes) -> str | None:
    """Return the name of a file's type for people, None if the first bytes match no signature."""
    for name, offset, magic in _SIGNATURES:
        if data.startswith(magic, offset):
            return name
    return None


def describe_content(data: bytes) -> str:
    """Return what a refused file is, to go on a sentence after its subject: "is WAV audio"."""
    if not data:
        return "is empty"
    name = type_name(data)
    return f"is {name}" if name else f"begins with bytes {data[:8].hex(' ')}"


def is_mp4_image(data: bytes) -> bool:
    """Return whether a file is an image in the container of MP4, such as AVIF or HEIC."""
    return data[4:8] == b"ftyp" and data[8:12].startswith(_IMAGE_BRANDS)
