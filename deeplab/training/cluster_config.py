"""Which process of which cluster this one is: the TF_CONFIG variable, and the flags beside it.

Cluster managers (Kubernetes operators, YARN, hand-written scripts) start the same command on every
machine and tell the processes apart by the environment variable TF_CONFIG, a JSON object:

    {"cluster": {"chief":  ["a:2222"],
                 "worker": ["b:2222", "c:2222"],
                 "ps":     ["d:2222"]},
     "task": {"type": "worker", "index": 1}}

"master" is the older word for "chief". Where there is neither, worker 0 is the chief. Chief and
workers make up one job here, `worker`, with the chief as task 0, as the devices of
`slim_nets.deployment.model_deploy` have it.
"""
import collections
import json

from deeplab.errors import UserError

WORKER = 'worker'
PS = 'ps'
_CHIEF_NAMES = ('chief', 'master')
_EVALUATOR = 'evaluator'
_JOBS = _CHIEF_NAMES + (WORKER, PS, _EVALUATOR)
_EXAMPLE = '{"cluster": {"chief": ["a:2222"], "ps": ["b:2222"]}, ' \
           '"task": {"type": "chief", "index": 0}}'


class Cluster(collections.namedtuple('Cluster', ['job', 'task', 'workers', 'servers'])):
    """The processes of a training and this one's place among them.

    Attributes:
      job: WORKER or PS.
      task: number of this process in its job; worker 0 is the chief.
      workers: addresses ('host:port') of the workers, the chief first.
      servers: addresses of the parameter servers.
    """

    __slots__ = ()

    @property
    def is_ps(self):
        """Whether this process is a parameter server."""
        return self.job == PS

    @property
    def address(self):
        """Address of this process."""
        return (self.servers if self.is_ps else self.workers)[self.task]

    def applied_to(self, options):
        """The TrainingOptions with this process's place filled in."""
        return options._replace(
            master='grpc://' + self.address, task=0 if self.is_ps else self.task,
            num_replicas=len(self.workers), num_ps_tasks=len(self.servers))


def from_environment(value, given_flags=None):
    """Reads TF_CONFIG.

    Args:
      value: content of the variable, or None where it is not set.
      given_flags: {name: value} of those of the flags master, task, num_replicas and num_ps_tasks
        that the user gave; they have to say the same.

    Returns:
      A Cluster; None where the variable asks for no cluster: not set, empty, or a single process.

    Raises:
      UserError: what is wrong with the variable, or which flag contradicts it.
    """
    if not (value or '').strip():
        return None
    config = _object(value)
    if not config.get('cluster') and not config.get('task'):
        if 'sparseCluster' in config:
            raise UserError('TF_CONFIG has a "sparseCluster" in place of a "cluster"; turn the '
                            "operator's dynamic workers (enableDynamicWorker) off.")
        return None
    for key in ('cluster', 'task'):
        if not isinstance(config.get(key), dict) or not config[key]:
            raise UserError('TF_CONFIG needs an object "{}", got {}. Example: {}'.format(
                key, json.dumps(config.get(key)), _EXAMPLE))
    jobs = _jobs(config['cluster'])
    chief_name = next((name for name in _CHIEF_NAMES if name in jobs), None)
    workers = jobs.get(chief_name, []) + jobs.get(WORKER, [])
    servers = jobs.get(PS, [])
    job, index = _task(config['task'], jobs)
    if not workers:
        raise UserError('TF_CONFIG: the cluster has neither a "chief" nor a "worker"; its jobs are '
                        '{}.'.format(', '.join(sorted(jobs))))
    if len(workers) > 1 and not servers:
        raise UserError('TF_CONFIG: {} workers need parameter servers; add a job "ps" to the '
                        'cluster.'.format(len(workers)))
    if not servers:
        return None
    is_later_worker = job == WORKER and chief_name is not None
    cluster = Cluster(PS if job == PS else WORKER, index + (1 if is_later_worker else 0),
                      workers, servers)
    _compare_with_flags(cluster, given_flags or {})
    return cluster


def _object(value):
    try:
        config = json.loads(value)
    except ValueError as error:
        raise UserError('TF_CONFIG is not JSON ({}): {}'.format(error, _shortened(value)))
    if not isinstance(config, dict):
        raise UserError('TF_CONFIG has to be a JSON object, got {}. Example: {}'.format(
            _shortened(value), _EXAMPLE))
    return config


def _shortened(text, length=80):
    return text if len(text) <= length else text[:length] + '...'


def _jobs(cluster):
    """{job: addresses}, checked."""
    unknown = sorted(set(cluster) - set(_JOBS))
    if unknown:
        raise UserError('TF_CONFIG: unknown job "{}" in the cluster; known are {}.'.format(
            unknown[0], ', '.join(_JOBS)))
    if all(name in cluster for name in _CHIEF_NAMES):
        raise UserError('TF_CONFIG: the cluster has a "chief" and a "master"; these are two names '
                        'of the same process.')
    seen = {}
    for job, addresses in sorted(cluster.items()):
        if not isinstance(addresses, list) or not addresses:
            raise UserError('TF_CONFIG: job "{}" needs a list of addresses, got {}.'.format(
                job, json.dumps(addresses)))
        for address in addresses:
            if not _is_address(address):
                raise UserError('TF_CONFIG: job "{}" has the address {}; an address is '
                                '"host:port".'.format(job, json.dumps(address)))
            if address in seen:
                raise UserError('TF_CONFIG: {} is given twice, in job "{}" and in job "{}".'.format(
                    address, seen[address], job))
            seen[address] = job
        if job in _CHIEF_NAMES and len(addresses) > 1:
            raise UserError('TF_CONFIG: there is one "{}" only, got {}.'.format(
                job, len(addresses)))
    return cluster


def _is_address(address):
    if not isinstance(address, str):
        return False
    host, _, port = address.rpartition(':')
    return bool(host) and port.isdigit() and 0 < int(port) < 65536


def _task(task, jobs):
    """(job, index) of this process, checked."""
    for key in ('type', 'index'):
        if key not in task:
            raise UserError('TF_CONFIG: "task" lacks "{}": {}.'.format(key, json.dumps(task)))
    job, index = task['type'], task['index']
    if job == _EVALUATOR:
        raise UserError(
            'TF_CONFIG: this process is an "evaluator", which training does not have. Leave that '
            'replica out of the job; deeplab/eval.py follows the checkpoints in --train_logdir, '
            'and --eval_every_steps evaluates during training.')
    if job not in list(jobs):
        raise UserError('TF_CONFIG: the task\'s type is {}, the jobs of the cluster are {}.'.format(
            json.dumps(job), ', '.join(sorted(jobs))))
    number = int(index) if isinstance(index, str) and index.isdigit() else index
    if isinstance(number, bool) or not isinstance(number, int):
        raise UserError('TF_CONFIG: the task\'s index has to be a whole number, got {}.'.format(
            json.dumps(index)))
    if not 0 <= number < len(jobs[job]):
        raise UserError('TF_CONFIG: the task\'s index is {}, and job "{}" has {} address{}: the '
                        'highest index is {}.'.format(
                            number, job, len(jobs[job]), '' if len(jobs[job]) == 1 else 'es',
                            len(jobs[job]) - 1))
    return job, number


def _compare_with_flags(cluster, given_flags):
    said = {'num_replicas': len(cluster.workers), 'num_ps_tasks': len(cluster.servers),
            'master': 'grpc://' + cluster.address}
    if not cluster.is_ps:
        said['task'] = cluster.task
    for name, value in sorted(given_flags.items()):
        if name in said and value != said[name]:
            raise UserError('--{}={} contradicts TF_CONFIG, which says {}. Leave the flag out, or '
                            'unset TF_CONFIG.'.format(name, value, said[name]))
