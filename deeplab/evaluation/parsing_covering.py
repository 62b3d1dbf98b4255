"""Parsing covering (Yang et al., DeeperLab, arXiv 1902.05093, section 4.2)."""
import collections

import numpy as np

from deeplab.evaluation import base_metric
from deeplab.evaluation import segment_overlaps


class ParsingCovering(base_metric.SegmentationMetric):
    """Covering of a category: the best IoU of each true segment, weighted by the segment's area.

    The best IoU is the one among predicted segments of the same category. It gives large segments
    their weight where panoptic quality counts them alike, and has no threshold. The result is the
    mean over the categories that occur in the ground truth. Pixels with the ignored label in the
    ground truth are left out altogether: they belong to no predicted segment either.

    Attributes:
      weighted_iou_per_class: float64 `[num_categories]`, sum of area * best IoU.
      gt_area_per_class: float64 `[num_categories]`, sum of the areas of the true segments.
    """

    _TOTALS = ('weighted_iou_per_class', 'gt_area_per_class')

    def __init__(self, num_categories: int, ignored_label: int, max_instances_per_category: int,
                 offset: int, normalize_by_image_size=True):
        """Begins with sums of zero.

        Args:
          num_categories, ignored_label, max_instances_per_category, offset: see
            `base_metric.SegmentationMetric`.
          normalize_by_image_size: areas are shares of their image's pixels, so that images of
            different sizes weigh the same; otherwise pixels.
        """
        super(ParsingCovering, self).__init__(num_categories, ignored_label,
                                              max_instances_per_category, offset)
        self.normalize_by_image_size = normalize_by_image_size

    def compare_and_accumulate(self, groundtruth_category_array, groundtruth_instance_array,
                               predicted_category_array, predicted_instance_array):
        """Adds one image; see `base_metric.SegmentationMetric.compare_and_accumulate`.

        Args:
          groundtruth_category_array: whole numbers `[height, width]`.
          groundtruth_instance_array: the same shape.
          predicted_category_array: the same shape.
          predicted_instance_array: the same shape.

        Returns:
          Parsing covering over all images so far, in 0..1.
        """
        overlaps = segment_overlaps.find_overlaps(
            self._id_scheme(), groundtruth_category_array, groundtruth_instance_array,
            predicted_category_array, predicted_instance_array)
        counted = overlaps.true_id // self.max_instances_per_category != self.ignored_label
        overlaps = segment_overlaps.Overlaps(*(values[counted] for values in overlaps))
        true = segment_overlaps.group(overlaps.true_id, overlaps.area)
        category = true.ids // self.max_instances_per_category
        areas = true.areas.astype(np.float64)
        if self.normalize_by_image_size:
            areas /= max(np.size(groundtruth_category_array), 1)
        np.add.at(self.weighted_iou_per_class, category, areas * self._best_iou(overlaps, true))
        np.add.at(self.gt_area_per_class, category, areas)
        return self.result()

    def _best_iou(self, overlaps, true):
        """Returns float64 `[true segments]`, 0 where no prediction has the category."""
        predicted = segment_overlaps.group(overlaps.predicted_id, overlaps.area)
        iou = overlaps.area / (true.areas[true.position] + predicted.areas[predicted.position]
                               - overlaps.area)
        per_category = self.max_instances_per_category
        iou[overlaps.true_id // per_category != overlaps.predicted_id // per_category] = 0
        best = np.zeros(true.ids.size)
        np.maximum.at(best, true.position, iou)
        return best

    def _settings(self):
        settings = super(ParsingCovering, self)._settings()
        settings['normalize_by_image_size'] = self.normalize_by_image_size
        return settings

    def _components(self):
        return collections.OrderedDict(pc=base_metric.realdiv_maybe_zero(
            self.weighted_iou_per_class, self.gt_area_per_class))

    def _counts(self):
        return collections.OrderedDict(area=self.gt_area_per_class)

    def _occurs(self):
        return self.gt_area_per_class != 0

    def result_per_category(self) -> np.ndarray:
        """Returns parsing covering by category: float64 `[num_categories]`, in 0..1."""
        return self._components()['pc']
