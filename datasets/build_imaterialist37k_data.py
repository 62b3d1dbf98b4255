"""Converts imaterialist37k, fashion photographs labelled by bits, to records.

    python datasets/build_imaterialist37k_data.py --root=~/storage/shared/deeplab

takes images, labels and dataset_split below <root>/datasets/imaterialist37k and writes tfrecord
beside them. forma_recipe.py says more.
"""
import forma_recipe

if __name__ == '__main__':
    forma_recipe.run('imaterialist37k')
