"""The crop an evaluation needs: no picture may be larger than it."""
from deeplab import errors


def largest_before_crop(sizes, options) -> tuple:
    """Returns (largest height, largest width) of pictures when they are padded to the crop.

    Args:
        sizes: iterable of (height, width) of the pictures.
        options: `input_preprocess.Options`, which may resize every picture to a range first.
    """
    resized = {options.size_before_crop(*size) for size in sizes}
    return max(height for height, _ in resized), max(width for _, width in resized)


def fitting_crop(height: int, width: int, output_stride: int = 16) -> list:
    """Returns the smallest [height, width] of the form output_stride * k + 1 that holds a picture.

    Such crops have features at both corners: no pixel lies outside the grid of the features.
    """
    return [-(-(side - 1) // output_stride) * output_stride + 1 for side in (height, width)]


def check(crop_size, sizes, options, output_stride: int = 16, flag: str = 'crop_size') -> None:
    """Makes sure that every picture fits into the crop.

    Args:
        crop_size: [height, width].
        sizes: dict from (height, width) to the name of a picture of that size.
        options: `input_preprocess.Options`.
        output_stride: of the network; the crop advised is output_stride * k + 1.
        flag: name of the crop's flag, for the message.

    Raises:
        UserError: naming a picture that does not fit and the crop that is needed.
    """
    for size, name in sorted(sizes.items()):
        height, width = options.size_before_crop(*size)
        if height > crop_size[0] or width > crop_size[1]:
            needed = fitting_crop(*largest_before_crop(sizes, options), output_stride)
            resized = '' if (height, width) == size else ' ({} x {} after resizing)'.format(
                height, width)
            raise errors.UserError(
                '--{0}={1},{2} is smaller than picture {3} of {4} x {5} pixels{6}. Use '
                '--{0}={7},{8}, which holds every picture of the split.'.format(
                    flag, crop_size[0], crop_size[1], name, size[0], size[1], resized,
                    needed[0], needed[1]))
