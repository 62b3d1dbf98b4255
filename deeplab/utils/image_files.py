"""Reading and writing pictures and folders, with errors that name the file and what to do."""
import contextlib
import io
import os
import shutil

import numpy as np
from PIL import Image
from PIL import ImageOps

from deeplab import errors

# Photographs of any honest size are fine: tiled prediction needs little more than the picture.
Image.MAX_IMAGE_PIXELS = None

IMAGE_EXTENSIONS = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


def make_folder(path: str, flag: str) -> str:
    """Creates `path` where it is missing and makes sure files can be written to it.

    Raises:
      UserError: naming `flag`, when the folder cannot be created or written to.
    """
    try:
        os.makedirs(path, exist_ok=True)
        probe = os.path.join(path, '.write-probe-{}'.format(os.getpid()))
        with open(probe, 'wb'):
            pass
        os.remove(probe)
    except OSError as error:
        raise errors.UserError('{}={}: cannot write to this folder ({}). Name one that is '
                               'writable.'.format(flag, path, error.strerror or error))
    return path


@contextlib.contextmanager
def replacing(path: str):
    """Gives a hidden name beside `path` to write to, which at the end becomes `path`.

    So `path` is written as a whole or not at all; after an error nothing is left.

    Raises:
      UserError: naming `path`, for any OSError within.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, '.{}.tmp-{}'.format(name, os.getpid()))
    try:
        _remove_if_there(temporary)  # Of a killed process that had our number.
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise errors.UserError('Cannot write {}: {}.'.format(path, error.strerror or error))
    finally:
        _remove_if_there(temporary)


def _remove_if_there(path):
    if os.path.lexists(path):
        os.remove(path)


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file as a whole or not at all, see `replacing`."""
    with replacing(path) as temporary, open(temporary, 'wb') as stream:
        stream.write(content)


def copy_file(source: str, target: str) -> None:
    """Copies the content of a file as a whole or not at all.

    Raises:
      UserError: `source` is missing, or `target` cannot be written.
    """
    if not os.path.isfile(source):
        raise errors.UserError('{}: there is no such file.'.format(source))
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def write_text(path: str, content: str) -> None:
    """Writes text in UTF-8 as a whole or not at all."""
    write_bytes(path, content.encode('utf-8'))


def encode_image(image, image_format='PNG', palette=None, **options) -> bytes:
    """Encodes a uint8 array `[height, width]` or `[height, width, 3]`.

    Args:
      image: the pixels.
      image_format: a format Pillow writes: 'PNG', 'JPEG', ...
      palette: uint8 `[256, 3]`; a `[height, width]` array is then written as a palette image,
        which shows in colour and reads back as labels.
      **options: passed on to Pillow.
    """
    picture = Image.fromarray(np.ascontiguousarray(image, dtype=np.uint8))
    if palette is not None:
        picture.putpalette(np.asarray(palette, dtype=np.uint8).tobytes())
    stream = io.BytesIO()
    picture.save(stream, format=image_format, **options)
    return stream.getvalue()


def write_png(path: str, image, palette=None) -> None:
    """Writes a uint8 array `[height, width]` or `[height, width, 3]` as PNG."""
    # Level 6 of zlib costs several times the time of level 3 on photographs for a few per cent.
    write_bytes(path, encode_image(image, 'PNG', palette, compress_level=3))


def write_npz(path: str, **arrays) -> None:
    """Writes arrays as one compressed .npz file, as a whole or not at all."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes(path, stream.getvalue())


def _with_8_bits(picture):
    """Brings 16-bit grey down to 8 bits; Pillow itself would cut everything above 255 off."""
    if not picture.mode.startswith('I'):
        return picture
    return Image.fromarray((np.array(picture).clip(0, 65535) // 257).astype(np.uint8))


def read_image(path, title=None) -> np.ndarray:
    """Reads a picture as it is meant to be seen: uint8 RGB `[height, width, 3]`, EXIF turn done.

    Args:
      path: of the file, or a binary stream.
      title: what to call it in messages; None for `path`.

    Raises:
      UserError: the file is missing or no readable picture.
    """
    title = title or path
    try:
        with Image.open(path) as picture:
            return np.array(_with_8_bits(ImageOps.exif_transpose(picture)).convert('RGB'))
    except FileNotFoundError:
        raise errors.UserError('{}: there is no such file.'.format(title))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise errors.UserError('{}: not a readable picture ({}).'.format(title, error))
