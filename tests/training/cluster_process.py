"""One process of a cluster that trains the tiny network; `test_cluster.py` starts several.

    TF_CONFIG=... python cluster_process.py FOLDER LAST_STEP [OPTION=VALUE ...]

After each step it waits until the number in FOLDER/limit is above the step, so that the test
decides how far the training gets, however fast the machine is.
"""
import json
import os
import sys
import time

from absl import logging

from deeplab.training import cluster
from deeplab.training import cluster_config
from deeplab.training import graph
from deeplab.training import job
from deeplab.training import options as training_options
from deeplab.training import reporting
from tests.training import tiny


def _wait_for_limit(path, step):
    while True:
        with open(path) as stream:
            if step < int(stream.read() or 0):
                return
        time.sleep(0.05)


def main(folder, last_step, *changes):
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    graph.model.multi_scale_logits = tiny.multi_scale_logits
    report = reporting.LogReporter.report

    def report_and_wait(self, values):
        report(self, values)
        _wait_for_limit(os.path.join(folder, 'limit'), values.step)
    reporting.LogReporter.report = report_and_wait

    members = cluster_config.from_environment(os.environ['TF_CONFIG'])
    values = dict(
        train_logdir=os.path.join(folder, 'run'), training_number_of_steps=int(last_step),
        train_batch_size=4, log_steps=1, base_learning_rate=0.05, learning_policy='step',
        num_threads=1, save_interval_steps=5, startup_delay_steps=2)
    values.update((name, json.loads(value)) for name, value in (
        change.split('=') for change in changes))
    options = members.applied_to(training_options.TrainingOptions(**values))
    if members.is_ps:
        return cluster.serve(members, options)
    result = job.run(options, tiny.MODEL_OPTIONS,
                     lambda start: tiny.Dataset(options.clone_batch_size, start), members=members)
    return result.signal


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]) and 1)
