"""Joins the records of imaterialist37k and humanparsing17k to forma54k.

    python datasets/build_forma54k_data.py --root=~/storage/shared/deeplab

The parts have to be converted before; their shards become links in
<root>/datasets/<name>/tfrecord. forma_recipe.py says more.
"""
import forma_recipe

if __name__ == '__main__':
    forma_recipe.run('forma54k')
