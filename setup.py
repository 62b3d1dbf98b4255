"""Installs the packages `deeplab` and `slim_nets` and the commands deeplab-train and so on.

TensorFlow is an extra, because machines often hold one already: `pip install .[tf]` adds the one
that fits this Python, `.[gpu]` and `.[cpu]` a build with CUDA's libraries and one without.
"""
import os
import re

import setuptools

_HERE = os.path.dirname(os.path.abspath(__file__))
_PROTOBUF = [
    'protobuf>=3.6.1,<3.21; python_version < "3.8"',
    'protobuf>=5.28,<7; python_version == "3.9"',
    'protobuf>=6.31.1,<8; python_version >= "3.10"',
]


def _read(name):
    with open(os.path.join(_HERE, name), encoding='utf-8') as handle:
        return handle.read()


def _requirements():
    """Returns dict: section of requirements.txt ('' for what is always needed) -> requirements."""
    sections = {'': []}
    name = ''
    for line in _read('requirements.txt').splitlines():
        opens = re.match(r'# \[(\w+)\]', line)
        if opens:
            name = opens.group(1)
            sections[name] = []
        elif line.strip() and not line.startswith('#'):
            sections[name].append(line.strip())
    return sections


def _tensorflow(before_38, since_38):
    """Returns TensorFlow requirements under other package names."""
    return _PROTOBUF + ['{}==1.15.5; python_version < "3.8"'.format(before_38)] + [
        '{}=={}; python_version {} "{}"'.format(since_38, version, comparison, python)
        for version, comparison, python in (
            ('2.13.1', '==', '3.8'), ('2.20.0', '==', '3.9'), ('2.21.0', '>=', '3.10'))]


_SECTIONS = _requirements()
_COMMANDS = {'train': 'train', 'eval': 'eval', 'vis': 'vis', 'predict': 'predict',
             'export': 'export_model', 'convert-to-tflite': 'convert_to_tflite',
             'model-stats': 'model_stats', 'zoo': 'zoo', 'demo': 'demo',
             'eval-coco': 'evaluation.eval_coco_format'}

setuptools.setup(
    name='deeplab-tf1',
    version=re.search(r"__version__ = '([^']+)'", _read('deeplab/__init__.py')).group(1),
    description='DeepLab v1 to v3+: semantic image segmentation in TensorFlow graph mode',
    long_description=_read('README.md'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.6',
    packages=setuptools.find_packages(include=['deeplab', 'deeplab.*', 'slim_nets',
                                               'slim_nets.*']),
    package_data={'deeplab': ['*.json', '*/*.json', '*/*/*.json']},
    install_requires=_SECTIONS[''],
    extras_require={
        'tf': _SECTIONS['tf'],
        'gpu': _tensorflow('tensorflow-gpu', 'tensorflow[and-cuda]'),
        'cpu': _tensorflow('tensorflow', 'tensorflow-cpu'),
        'test': _SECTIONS['test'],
        'export': _SECTIONS['export'],
        'demo': _SECTIONS['demo'],
    },
    entry_points={'console_scripts': [
        'deeplab-{} = deeplab.{}:entry'.format(command, module)
        for command, module in sorted(_COMMANDS.items())]},
    classifiers=[
        'License :: OSI Approved :: Apache Software License',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
