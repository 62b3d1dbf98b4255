"""Converts humanparsing17k, the ATR human parsing pictures, to records.

    python datasets/build_humanparsing17k_data.py --root=~/storage/shared/deeplab

takes images, labels and dataset_split below <root>/datasets/humanparsing17k and writes tfrecord
beside them. forma_recipe.py says more.
"""
import forma_recipe

if __name__ == '__main__':
    forma_recipe.run('humanparsing17k')
