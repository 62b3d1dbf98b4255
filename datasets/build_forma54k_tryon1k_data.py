"""Joins the records of forma54k and tryon1k to forma54k_tryon1k.

    python datasets/build_forma54k_tryon1k_data.py --root=~/storage/shared/deeplab

The parts have to be converted before; their shards become links in
<root>/datasets/<name>/tfrecord. forma_recipe.py says more.
"""
import forma_recipe

if __name__ == '__main__':
    forma_recipe.run('forma54k_tryon1k')
