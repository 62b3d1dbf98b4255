"""Makes the records of any forma data set, those joined later among them.

    python datasets/build_forma_data.py --dataset=tryon10k --root=~/storage/shared/deeplab
    python datasets/build_forma_data.py --dataset=forma54k_tryon10k

forma_recipe.py says what is taken from where.
"""
import forma_recipe

if __name__ == '__main__':
    forma_recipe.run()
