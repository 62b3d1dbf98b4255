"""Panoptic quality (Kirillov et al., Panoptic Segmentation, arXiv 1801.00868, section 4)."""
import collections

import numpy as np

from deeplab import errors
from deeplab.evaluation import base_metric
from deeplab.evaluation import segment_overlaps

_MATCH_IOU = 0.5
_MOSTLY = 0.5
_EVERY_CATEGORY = -1


class PanopticQuality(base_metric.SegmentationMetric):
    """PQ = sum of matched IoU / (TP + FP / 2 + FN / 2), by category, averaged over categories.

    A true and a predicted segment of one category match when their IoU is above 0.5; each segment
    then has at most one match. PQ = SQ * RQ: segmentation quality is the mean IoU of the matches,
    recognition quality the F1 score.

    Void (section 4.2 of the paper): pixels whose true category is the ignored label with instance
    0 are taken out of the union before matching; and a predicted segment without a match is no
    false positive when more than half of it lies in ignored ground truth of any instance.

    Attributes:
      iou_per_class, tp_per_class, fn_per_class, fp_per_class: float64 `[num_categories]`. Those of
        the ignored label are kept as they come and are part of no average: matched against its own
        void, its IoU has no bound.
    """

    _TOTALS = ('iou_per_class', 'tp_per_class', 'fn_per_class', 'fp_per_class')

    def compare_and_accumulate(self, groundtruth_category_array, groundtruth_instance_array,
                               predicted_category_array, predicted_instance_array,
                               crowd_categories=None):
        """Adds one image; see `base_metric.SegmentationMetric.compare_and_accumulate`.

        Args:
          groundtruth_category_array: whole numbers `[height, width]`.
          groundtruth_instance_array: the same shape.
          predicted_category_array: the same shape.
          predicted_instance_array: the same shape.
          crowd_categories: {instance: category}: which instances of the ignored label in the
            ground truth are crowds, and of what. As in COCO's evaluation a crowd then excuses
            unmatched predictions of its own category only. None: every ignored segment excuses
            predictions of all categories.

        Returns:
          Panoptic quality over all images so far, in 0..1.
        """
        overlaps = segment_overlaps.find_overlaps(
            self._id_scheme(), groundtruth_category_array, groundtruth_instance_array,
            predicted_category_array, predicted_instance_array)
        true = segment_overlaps.group(overlaps.true_id, overlaps.area)
        predicted = segment_overlaps.group(overlaps.predicted_id, overlaps.area)
        true_category = true.ids // self.max_instances_per_category
        predicted_category = predicted.ids // self.max_instances_per_category

        iou = self._iou(overlaps, true, predicted)
        iou[true_category[true.position] != predicted_category[predicted.position]] = 0
        match = np.flatnonzero(iou > _MATCH_IOU)
        matched_category = true_category[true.position[match]]
        self._add('tp_per_class', matched_category, 1)
        self._add('iou_per_class', matched_category, iou[match])

        missed = true_category != self.ignored_label
        missed[true.position[match]] = False
        self._add('fn_per_class', true_category[missed], 1)

        excused = self._ignored_area(overlaps, predicted, predicted_category, crowd_categories)
        false = excused / predicted.areas <= _MOSTLY
        false[predicted.position[match]] = False
        self._add('fp_per_class', predicted_category[false], 1)
        return self.result()

    def _iou(self, overlaps, true, predicted):
        """Returns float64 `[overlaps]`: IoU with void pixels taken out of the union."""
        void = overlaps.true_id == self.ignored_label * self.max_instances_per_category
        void_area = segment_overlaps.total(predicted.position, overlaps.area * void,
                                           predicted.ids.size)
        union = (true.areas[true.position] + (predicted.areas - void_area)[predicted.position]
                 - overlaps.area)
        # Void matched against itself has an empty union; its IoU is infinite and counts nowhere.
        with np.errstate(divide='ignore'):
            return overlaps.area / union

    def _ignored_area(self, overlaps, predicted, predicted_category, crowd_categories):
        """Returns int64 `[predicted segments]`: pixels in ground truth that excuses them."""
        category, instance = divmod(overlaps.true_id, self.max_instances_per_category)
        crowd = self._crowd_table(crowd_categories or {})[instance]
        excuses = category == self.ignored_label
        excuses &= (crowd == _EVERY_CATEGORY) | (crowd == predicted_category[predicted.position])
        return segment_overlaps.total(predicted.position, overlaps.area * excuses,
                                      predicted.ids.size)

    def _crowd_table(self, crowd_categories):
        table = np.full(self.max_instances_per_category, _EVERY_CATEGORY, dtype=np.int64)
        for instance, category in crowd_categories.items():
            if not 0 < instance < self.max_instances_per_category:
                raise errors.UserError(
                    'crowd_categories holds the instance {}, expected 1 to {}: instance 0 of the '
                    'ignored label is void.'.format(instance, self.max_instances_per_category - 1))
            table[instance] = category
        return table

    def _add(self, name, categories, amounts):
        """Adds one by one, in order; an ignored label outside of the categories has no sum."""
        inside = categories < self.num_categories
        np.add.at(getattr(self, name), categories[inside],
                  amounts if np.isscalar(amounts) else amounts[inside])

    def _components(self):
        quality = base_metric.realdiv_maybe_zero(self.iou_per_class, self.tp_per_class)
        recognition = base_metric.realdiv_maybe_zero(
            self.tp_per_class,
            self.tp_per_class + 0.5 * self.fn_per_class + 0.5 * self.fp_per_class)
        return collections.OrderedDict([
            ('pq', quality * recognition), ('sq', quality), ('rq', recognition)])

    def _counts(self):
        return collections.OrderedDict([
            ('tp', self.tp_per_class), ('fp', self.fp_per_class), ('fn', self.fn_per_class)])

    def _occurs(self):
        return self.tp_per_class + self.fn_per_class + self.fp_per_class != 0

    def result_per_category(self) -> np.ndarray:
        """Returns panoptic quality by category: float64 `[num_categories]`, in 0..1.

        The entry of the ignored label has no meaning and may be infinite.
        """
        return self._components()['pq']
