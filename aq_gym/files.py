"""Files: written whole or not at all; read as bytes, as text, as rows of cells."""

import codecs
import csv
import gzip
import io
import os
import tempfile
import unicodedata
import zlib
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file beside `path`, then rename it: a reader sees the old file or the new one, whole.

    Folders are made as needed. A link stays a link; what is no regular file, such as /dev/stdout, is written to.

    Raises:
        OSError: the folder or the disk cannot take the file; nothing of it stays behind.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_rows(path: Path, text: str, delimiter: str = ",") -> list[tuple[int, list[str]]]:
    """Line number (from 1) and cells of every row of a delimited text.

    Empty lines are passed over, except between two rows of the same width, where a slot may be lost.
    """
    rows: list[tuple[int, list[str]]] = []
    empty = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if not row:
                empty = empty or reader.line_num
                continue
            if empty and rows and len(row) == len(rows[-1][1]):
                raise ValueError(f"{path}, row {empty}: the row is empty; delete it or fill it in")
            rows.append((reader.line_num, row))
            empty = 0
    except csv.Error as error:
        raise ValueError(f"{path}, row {len(rows) + 1}: {error}; save it as plain comma-separated text") from error
    return rows


def read_bytes(path: Path) -> bytes:
    """The content of a file, plain or gzipped, or of a pipe.

    Raises:
        FileNotFoundError: no file.
        ValueError: a folder, or a damaged gzip file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        of_pku = path.name.startswith(("DataSet_", "Sensor_Error_"))
        fetch = ", or fetch the PKU files by scripts.download_data" if of_pku else ""
        raise FileNotFoundError(f"{path} is missing: check the name{fetch}") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder: give the files in it") from None
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: the gzip file is damaged ({error}); copy or download it again") from error
    return content


def decode(path: Path, content: bytes) -> str:
    """The text of a file, UTF-8 or, with a byte order mark, UTF-16; see `alike`.

    Raises:
        ValueError: another encoding, or no text at all.
    """
    if content.startswith(b"PK\x03\x04"):
        raise ValueError(f"{path} is a zip archive or a workbook; save its table as comma-separated text")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
        at, byte = text.find("\0"), 0
        before = text[:at]
    except UnicodeDecodeError as error:
        at, byte = error.start, content[error.start]
        before = content[:at].decode("latin-1")
    if at >= 0:
        raise ValueError(
            f"{path}, row {before.count(chr(10)) + 1}: byte {byte:#04x} is no {'UTF-16' if wide else 'UTF-8'} text; "
            "save it as plain comma-separated UTF-8"
        )
    return alike(text)


def alike(text: str) -> str:
    """What looks alike made alike: composed letters (NFC) and plain spaces."""
    return unicodedata.normalize("NFC", text).replace("\u00a0", " ")
