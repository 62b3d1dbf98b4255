"""Draws small labelled scenes: shapes lying on cluttered ground, lit from one side.

The scenes stand in for photographs where nothing can be downloaded: they have texture, shadow,
occlusion and sensor noise, and their labels have the ignored borders of PASCAL VOC. A class is
known by its shape; colour and texture only hint at it (`_CLASS_LOOKS`), so that a network has to
look at outlines.

Geometry works in pixels: `y` down, `x` right, pixel centres at whole numbers. Shapes are signed
distance fields (negative inside), from which outlines, shadows, rims and ignored borders follow.
"""
import collections

import numpy as np
from PIL import Image

CLASS_NAMES = ('ground', 'disc', 'box', 'triangle', 'ring', 'star')
IGNORE_LABEL = 255

# What a class tends to look like: hue in [0, 1), kind of texture, range of the radius as a share of
# the shorter picture side.
_Look = collections.namedtuple('_Look', ['hue', 'texture', 'radius_range'])
_CLASS_LOOKS = {
    'disc': _Look(0.02, 'plain', (0.20, 0.36)),
    'box': _Look(0.60, 'checks', (0.24, 0.42)),
    'triangle': _Look(0.36, 'stripes', (0.28, 0.46)),
    'ring': _Look(0.13, 'dots', (0.28, 0.44)),
    'star': _Look(0.84, 'grain', (0.28, 0.46)),
}
_HUE_TENDENCY = 0.65      # share of shapes that keep to the hue of their class
_TEXTURE_TENDENCY = 0.6   # share of shapes that keep to the texture of their class
# Of so many places the emptiest is taken: shapes overlap, but seldom hide each other.
_PLACES_TRIED = 4


def draw_scene(random, height, width):
    """Draws one scene.

    Args:
      random: np.random.RandomState; the scene depends on it alone.
      height: picture height in pixels, at least 16.
      width: picture width in pixels, at least 16.

    Returns:
      image: uint8 [height, width, 3], RGB.
      label: uint8 [height, width], class numbers in the order of CLASS_NAMES; IGNORE_LABEL on
        outlines, which are one or two pixels wide.
    """
    light = random.uniform(0, 2 * np.pi)
    towards_light = np.array([np.sin(light), np.cos(light)])
    picture = _draw_ground(random, height, width)
    label = np.zeros((height, width), np.uint8)
    half_border = random.choice([0.5, 1.0])
    centres = []
    for class_index in _choose_classes(random):
        look = _CLASS_LOOKS[CLASS_NAMES[class_index]]
        radius = random.uniform(*look.radius_range) * min(height, width)
        centres.append(_choose_place(random, height, width, centres))
        frame = _Frame.turned(random, height, width, centres[-1], radius)
        distance = _SHAPES[CLASS_NAMES[class_index]](random, frame)
        _cast_shadow(random, picture, distance, towards_light, radius)
        surface = _paint_surface(random, look, frame)
        surface *= _shade(distance, towards_light, radius)[..., np.newaxis]
        cover = np.clip(0.5 - distance, 0, 1)[..., np.newaxis]
        picture += cover * (surface - picture)
        label[distance < 0] = class_index
        label[np.abs(distance) <= half_border] = IGNORE_LABEL
    return _photograph(random, picture, towards_light), label


def _choose_classes(random):
    """Two to four shapes, mostly of different classes, from the bottom of the pile to its top."""
    count = random.choice([2, 3, 4], p=[0.35, 0.4, 0.25])
    order = 1 + random.permutation(len(CLASS_NAMES) - 1)
    if random.uniform() < 0.2:
        order[0] = order[1]
    return order[:count]


def _choose_place(random, height, width, taken=()):
    """A place (y, x) in the picture; where others are taken, one that is far from them."""
    tried = random.uniform(0.13, 0.87, size=(_PLACES_TRIED, 2)) * [height - 1, width - 1]
    if not taken:
        return tried[0]
    apart = np.sqrt(((tried[:, np.newaxis] - np.array(taken)) ** 2).sum(axis=-1)).min(axis=1)
    return tried[apart.argmax()]


class _Frame(object):
    """The position, turn and size of one shape, with every pixel in its coordinates.

    Attributes:
      radius: size of the shape in pixels.
      y, x: float64 [height, width], pixels from the centre along the axes of the shape.
    """

    def __init__(self, y, x, radius):
        self.y, self.x, self.radius = y, x, radius

    @classmethod
    def anywhere(cls, random, height, width, radius):
        """A frame at a random place of the picture, turned at random."""
        return cls.turned(random, height, width, _choose_place(random, height, width), radius)

    @classmethod
    def turned(cls, random, height, width, centre, radius):
        """A frame at the place `centre`, (y, x), turned at random."""
        turn = random.uniform(0, 2 * np.pi)
        down, right = np.mgrid[0:height, 0:width].astype(np.float64)
        down -= centre[0]
        right -= centre[1]
        return cls(np.cos(turn) * down - np.sin(turn) * right,
                   np.sin(turn) * down + np.cos(turn) * right, radius)


# --- Outlines ------------------------------------------------------------------------------------


def _ellipse_distance(frame, radius_y, radius_x):
    """First-order distance to an ellipse; exact on its outline and for circles."""
    near = np.sqrt((frame.y / radius_y) ** 2 + (frame.x / radius_x) ** 2)
    steepness = np.sqrt((frame.y / radius_y ** 2) ** 2 + (frame.x / radius_x ** 2) ** 2)
    return near * (near - 1) / np.maximum(steepness, 1e-6)


def _polygon_distance(frame, corners):
    """Exact signed distance to a closed polygon.

    Args:
      frame: _Frame.
      corners: float [corners, 2], (y, x) in pixels in the frame.

    Returns:
      float64 [height, width].
    """
    squared = np.full(frame.y.shape, np.inf)
    inside = np.zeros(frame.y.shape, bool)
    for (from_y, from_x), (to_y, to_x) in zip(corners, np.roll(corners, -1, axis=0)):
        edge_y, edge_x = to_y - from_y, to_x - from_x
        off_y, off_x = frame.y - from_y, frame.x - from_x
        along = np.clip((off_y * edge_y + off_x * edge_x) / (edge_y ** 2 + edge_x ** 2), 0, 1)
        squared = np.minimum(squared, (off_y - along * edge_y) ** 2 + (off_x - along * edge_x) ** 2)
        crosses = (from_y > frame.y) != (to_y > frame.y)
        left_of_edge = (off_x * edge_y < off_y * edge_x) == (edge_y > 0)
        inside ^= crosses & left_of_edge
    return np.where(inside, -1, 1) * np.sqrt(squared)


def _corners(radii, angles):
    return np.stack([radii * np.sin(angles), radii * np.cos(angles)], axis=-1)


def _disc(random, frame):
    return _ellipse_distance(frame, frame.radius, frame.radius * random.uniform(0.82, 1.0))


def _ring(random, frame):
    radius_x = frame.radius * random.uniform(0.85, 1.0)
    hole = random.uniform(0.42, 0.56)
    outer = _ellipse_distance(frame, frame.radius, radius_x)
    inner = _ellipse_distance(frame, frame.radius * hole, radius_x * hole)
    return np.maximum(outer, -inner)


def _box(random, frame):
    tilt = random.uniform(0.62, 0.95)   # half the angle between the diagonals: how long the box is
    angles = np.array([tilt, np.pi - tilt, np.pi + tilt, -tilt])
    return _polygon_distance(frame, _corners(frame.radius, angles))


def _triangle(random, frame):
    angles = np.arange(3) * 2 * np.pi / 3 + random.uniform(-0.22, 0.22, size=3)
    return _polygon_distance(frame, _corners(frame.radius, angles))


def _star(random, frame):
    points = random.choice([5, 6])
    radii = np.where(np.arange(2 * points) % 2, random.uniform(0.42, 0.52), 1.0) * frame.radius
    return _polygon_distance(frame, _corners(radii, np.arange(2 * points) * np.pi / points))


_SHAPES = {'disc': _disc, 'box': _box, 'triangle': _triangle, 'ring': _ring, 'star': _star}


# --- Surfaces ------------------------------------------------------------------------------------


def _smooth_noise(random, height, width, cell):
    """Noise in about [-1, 1] whose blotches are `cell` pixels wide; float64 [height, width]."""
    grid = random.uniform(-1, 1, size=(int(height / cell) + 2, int(width / cell) + 2))
    stretched = Image.fromarray(grid.astype(np.float32)).resize((width, height), Image.BICUBIC)
    return np.asarray(stretched, np.float64)


def _waves(phase):
    """A wave between 0 and 1 with steep flanks, the look of printed stripes."""
    return np.clip(0.5 + 1.5 * np.sin(phase), 0, 1)


def _texture(random, kind, frame):
    """How much of the second colour shows at each pixel: float64 [height, width] in [0, 1]."""
    height, width = frame.y.shape
    if kind == 'plain':
        return np.clip(0.25 + 0.25 * _smooth_noise(random, height, width, 12), 0, 1)
    if kind == 'grain':
        grain = sum(strength * _smooth_noise(random, height, width, cell)
                    for strength, cell in ((0.6, 5), (0.42, 2.5)))
        return np.clip(0.5 + grain, 0, 1)
    step = 2 * np.pi / random.uniform(7, 12)
    if kind == 'stripes':
        return _waves(frame.y * step)
    if kind == 'checks':
        squares = np.sin(frame.y * step * 0.7) * np.sin(frame.x * step * 0.7)
        return np.clip(0.5 + 2.5 * squares, 0, 1)
    return _waves(2.2 * (np.cos(frame.y * step) + np.cos(frame.x * step) - 0.7))   # dots


_TEXTURES = ('plain', 'stripes', 'checks', 'dots', 'grain')


def _colour(hue, saturation, value):
    """HSV in [0, 1] to RGB in [0, 255]; float64 [3]."""
    spread = np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    return 255 * value * (1 - saturation * (1 - np.clip(spread, 0, 1)))


def _paint_surface(random, look, frame):
    """Colours of an unlit shape: float64 [height, width, 3] in [0, 255]."""
    hue, kind = random.uniform(), random.choice(_TEXTURES)
    if random.uniform() < _HUE_TENDENCY:
        hue = look.hue + random.normal(0, 0.035)
    if random.uniform() < _TEXTURE_TENDENCY:
        kind = look.texture
    base = _colour(hue, random.uniform(0.55, 0.9), random.uniform(0.6, 0.95))
    contrast = random.uniform(0.35, 0.6)
    if random.uniform() < 0.5:
        second = base * (1 - contrast)
    else:
        second = base + contrast * (255 - base)
    return base + _texture(random, kind, frame)[..., np.newaxis] * (second - base)


def _draw_ground(random, height, width):
    """Muted ground with blotches, sometimes a pattern, and clutter; float64 [height, width, 3]."""
    first = _colour(random.uniform(), random.uniform(0.05, 0.3), random.uniform(0.4, 0.75))
    second = _colour(random.uniform(), random.uniform(0.05, 0.3), random.uniform(0.4, 0.75))
    blotches = sum(strength * _smooth_noise(random, height, width, cell)
                   for strength, cell in ((0.6, 40), (0.3, 14), (0.2, 3)))
    mixture = np.clip(0.5 + 0.5 * blotches, 0, 1)[..., np.newaxis]
    ground = first + mixture * (second - first)
    frame = _Frame.anywhere(random, height, width, min(height, width))
    if random.uniform() < 0.4:
        pattern = _texture(random, random.choice(_TEXTURES), frame)
        ground *= 1 + random.uniform(0.08, 0.2) * (pattern - 0.5)[..., np.newaxis]
    for _ in range(random.randint(5, 16)):
        _drop_clutter(random, ground)
    return ground


def _drop_clutter(random, ground):
    """Paints one pebble or twig, too small to be one of the shapes, onto the ground."""
    height, width = ground.shape[:2]
    size = random.uniform(0.012, 0.045) * min(height, width)
    frame = _Frame.anywhere(random, height, width, size)
    length = size if random.uniform() < 0.6 else size * random.uniform(4, 10)
    distance = _ellipse_distance(frame, size, length)
    cover = np.clip(0.5 - distance, 0, 1)[..., np.newaxis]
    colour = _colour(random.uniform(), random.uniform(0.05, 0.55), random.uniform(0.2, 0.9))
    ground += cover * random.uniform(0.5, 0.9) * (colour - ground)


# --- Light ---------------------------------------------------------------------------------------


def _shift(field, offset):
    """Moves a field by whole pixels, repeating its edge."""
    down, right = [int(round(step)) for step in offset]
    height, width = field.shape
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return field[rows[:, np.newaxis], columns]


def _cast_shadow(random, picture, distance, towards_light, radius):
    """Darkens the picture, in place, where the shape keeps the light away."""
    softness = max(1.0, 0.07 * radius)
    fallen = _shift(distance, -towards_light * random.uniform(0.08, 0.2) * radius)
    darkness = random.uniform(0.3, 0.55) / (1 + np.exp(np.clip(fallen / softness, -30, 30)))
    picture *= 1 - darkness[..., np.newaxis]


def _shade(distance, towards_light, radius):
    """Brightness of a shape with rounded rims: float64 [height, width], 1 where it lies flat."""
    slope = np.stack(np.gradient(distance))
    facing = np.tensordot(towards_light, slope, axes=1)
    rim = np.exp(np.minimum(distance, 0) / (0.16 * radius))
    return 1 + 0.45 * facing * rim


def _photograph(random, picture, towards_light):
    """Uneven light, a colour cast, sensor noise; returns uint8 [height, width, 3]."""
    height, width = picture.shape[:2]
    down, right = np.mgrid[-1:1:height * 1j, -1:1:width * 1j]
    lit = towards_light[0] * down + towards_light[1] * right
    brightness = random.uniform(0.85, 1.15) * (1 + random.uniform(0.05, 0.22) * lit)
    cast = 1 + random.uniform(-0.06, 0.06, size=3)
    seen = picture * brightness[..., np.newaxis] * cast
    seen += random.normal(0, random.uniform(2, 8), size=picture.shape)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)
