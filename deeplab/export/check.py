"""Holds what an exported model says against the checkpoint it came from."""
import collections
import os
import time

import numpy as np
import tabulate

# Below this a probability says nothing about its logit: float32 has few bits left there.
_LEAST_PROBABILITY = 1e-30

# format: what was written; path; bytes: its size; pixels: compared; different: labels that differ;
# logit_difference: the largest, None where probabilities have 8 bits; milliseconds: median latency.
Result = collections.namedtuple('Result', [
    'format', 'path', 'bytes', 'pixels', 'different', 'logit_difference', 'milliseconds'])


def noise_picture(crop_size, seed=0):
    """Returns a picture to check on where none is given, uint8 [height, width, 3].

    Coloured blocks of several sizes under noise, three quarters of the crop high and wide.
    """
    random = np.random.RandomState(seed)
    height, width = [max(1, side * 3 // 4) for side in crop_size]
    picture = np.zeros([height, width, 3])
    for side in (64, 16, 4, 1):
        blocks = random.uniform(0, 64, [height // side + 1, width // side + 1, 3])
        picture += blocks.repeat(side, 0).repeat(side, 1)[:height, :width]
    return picture.astype(np.uint8)


def logits_of(probabilities):
    """Returns the logits, up to what is added to all of a pixel, from their softmax."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _LEAST_PROBABILITY))
    return logits - logits.mean(axis=-1, keepdims=True)


def size_of(path: str) -> int:
    """Returns the bytes of a file, or of all files of a folder."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(folder, name))
               for folder, _, names in os.walk(path) for name in names)


def latency(runner, image, times: int) -> float:
    """Returns the median milliseconds to the labels of a picture, after one run to warm up."""
    runner.labels(image)
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        runner.labels(image)
        seconds.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(seconds))


class Reference:
    """What the checkpoint says about the pictures to check on."""

    def __init__(self, runner, images):
        """Takes a runner of the checkpoint, which stays the caller's, and uint8 pictures."""
        self._images = images
        self._wanted = [runner.run(image) for image in images]

    def compare(self, title, path, runner, times=3, has_logits=True) -> Result:
        """Compares a runner of an exported model, and times it on the first picture.

        Args:
            title: name of the format.
            path: what was written.
            runner: see `runners`.
            times: how often to time it.
            has_logits: whether its probabilities are fine enough to compare logits.
        """
        pixels = different = 0
        largest = 0.0
        for image, (labels, probabilities) in zip(self._images, self._wanted):
            found, found_probabilities = runner.run(image)
            pixels += labels.size
            different += int(np.sum(found != labels))
            if has_logits:
                largest = max(largest, float(np.max(np.abs(
                    logits_of(found_probabilities) - logits_of(probabilities)))))
        return Result(title, path, size_of(path), pixels, different,
                      largest if has_logits else None, latency(runner, self._images[0], times))


def table(results) -> str:
    """Returns the results as text, a line a format."""
    return tabulate.tabulate(
        [[result.format, '{:.1f} MB'.format(result.bytes / 1e6),
          '{} of {}'.format(result.different, result.pixels),
          '-' if result.logit_difference is None else '{:.1e}'.format(result.logit_difference),
          '{:.1f} ms'.format(result.milliseconds)] for result in results],
        headers=['format', 'size', 'labels that differ', 'largest logit difference', 'latency'],
        disable_numparse=True)
