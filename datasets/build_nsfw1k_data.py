"""Converts nsfw1k to records.

    python datasets/build_nsfw1k_data.py --root=~/storage/shared/deeplab

takes images, labels and dataset_split below <root>/datasets/nsfw1k and writes tfrecord beside
them. forma_recipe.py says more.
"""
import forma_recipe

if __name__ == '__main__':
    forma_recipe.run('nsfw1k')
