import json
import pathlib
import subprocess
import sys

from keystone_host import PROVIDERS
import pytest

WORKER = pathlib.Path(__file__).with_name('worker.py')


@pytest.fixture
def workers(world):
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, world.folder / 'keystone.conf'],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def use_at_once(workers, tokens):
    """Use ``tokens`` in all workers at the same time; returns the statuses."""
    share = len(tokens) // len(workers)
    for number, worker in enumerate(workers):
        worker.stdin.write(json.dumps(tokens[number * share : (number + 1) * share]) + '\n')
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout.readline() == 'ready\n', worker.stderr.read()
    for worker in workers:
        worker.stdin.write('go\n')
        worker.stdin.flush()
    return [status for worker in workers for status in json.loads(worker.stdout.readline())]


def test_fifty_first_uses_of_a_new_user_in_two_cold_workers_are_all_served(world, west, workers):
    user, project = west.user(), west.project()
    tokens = [west.token(user, project) for _ in range(50)]
    assert use_at_once(workers, tokens) == [200] * 50
    users = [
        found
        for found in PROVIDERS.shadow_users_api.list_federated_users_info()
        if found['unique_id'] == user['id']
    ]
    assert len(users) == 1
    projects = [
        found
        for found in PROVIDERS.resource_api.list_projects_in_domain(west.domain_id)
        if found.get('alliance_project_id') == project['id']
    ]
    assert len(projects) == 1
    grants = PROVIDERS.assignment_api.list_grants(
        user_id=users[0]['user_id'], project_id=projects[0]['id']
    )
    assert sorted(role['name'] for role in grants) == ['member', 'reader']


def test_fifty_uses_of_one_new_token_in_two_cold_workers_are_two_questions(world, west, workers):
    token = west.token(west.user(), west.project())
    assert use_at_once(workers, [token] * 50) == [200] * 50
    assert len(world.daemon.questions('/v1/tokens/validate')) <= 2
