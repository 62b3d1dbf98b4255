"""Lists of the pictures of each split: found in a folder, or drawn once and kept there."""
import collections
import os
import shutil

import numpy as np

from deeplab import errors
from deeplab.utils import image_files


def find(folder: str, splits: list) -> dict:
    """Returns split name -> path of its list; empty where there is none of them.

    Args:
        folder: where `<split>.txt` may lie.
        splits: names of the splits that are wanted.

    Raises:
        UserError: some lists are there and some are not.
    """
    paths = collections.OrderedDict(
        (split, os.path.join(folder, split + '.txt')) for split in splits)
    missing = [split for split, path in paths.items() if not os.path.exists(path)]
    if len(missing) == len(paths):
        return {}
    if missing:
        raise errors.UserError('{}: there is no {}.txt beside {}. Add it, or remove all lists to '
                               'have them drawn.'.format(folder, missing[0], ', '.join(
                                   split + '.txt' for split in paths if split not in missing)))
    return paths


def shares(count: int, sizes: dict, expected: dict = None) -> dict:
    """Returns how many of `count` pictures each split gets.

    Args:
        count: number of pictures.
        sizes: split name -> size whose proportions hold.
        expected: split name -> exact number; None for the proportions of `sizes`.

    Raises:
        UserError: `expected` adds up to something else, or there are too few pictures.
    """
    if expected:
        total = sum(expected.values())
        if total != count:
            raise errors.UserError(
                'There are {} pictures; the splits need {} ({}). --expected_scale says what share '
                'of them is there; 0 takes any number.'.format(count, total, ', '.join(
                    '{} {}'.format(size, split) for split, size in expected.items())))
        return expected
    whole = float(sum(sizes.values()))
    first, *others = sizes
    counts = collections.OrderedDict([(first, 0)])
    counts.update((split, max(1, int(round(count * sizes[split] / whole))) if sizes[split] else 0)
                  for split in others)
    counts[first] = count - sum(counts.values())
    if counts[first] < 1:
        raise errors.UserError('{} pictures are too few for {} splits.'.format(count, len(sizes)))
    return counts


def draw(folder: str, names: list, sizes: dict, expected: dict, seed: int) -> dict:
    """Deals names out at random and writes the lists, all or none; returns as `find`.

    Args:
        folder: for the lists; must not be there yet, or be without lists.
        names: of all pictures.
        sizes, expected: see `shares`.
        seed: of the order; the same seed and names give the same lists.
    """
    counts = shares(len(names), sizes, expected)
    order = np.random.RandomState(seed).permutation(len(names))
    ordered, start = sorted(names), 0
    image_files.make_folder(os.path.dirname(os.path.abspath(folder)), '--list_folder')
    temporary = '{}.tmp-{}'.format(os.path.abspath(folder), os.getpid())
    image_files.make_folder(temporary, '--list_folder')
    try:
        for split, count in counts.items():
            if count:
                chosen = sorted(ordered[index] for index in order[start:start + count])
                image_files.write_text(os.path.join(temporary, split + '.txt'),
                                       ''.join(name + '\n' for name in chosen))
            start += count
        os.replace(temporary, folder)
    except OSError as error:
        raise errors.UserError('--list_folder={}: the lists cannot be written ({}).'.format(
            folder, error.strerror or error))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return find(folder, [split for split, count in counts.items() if count])


def overlaps(splits: dict) -> list:
    """Returns a line for any two splits that have pictures in common: scores then say little.

    Args:
        splits: split name -> names of its pictures.
    """
    lines, names = [], list(splits)
    for place, first in enumerate(names):
        for second in names[place + 1:]:
            common = set(splits[first]) & set(splits[second])
            if common:
                lines.append('{} picture(s) are in {} and in {}, such as {}.'.format(
                    len(common), first, second, min(common)))
    return lines
