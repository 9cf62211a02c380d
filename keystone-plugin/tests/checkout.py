"""Makes the plugin of this checkout the one that Keystone finds, whatever else is installed."""

import os
import pathlib
import sys

import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def drivers():
    """Sections of keystone.conf in which ``driver = alliance`` can stand."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    groups = (group.split('.') for group in project['entry-points'])
    return [name for keystone, name, *more in groups if keystone == 'keystone' and not more]


def install(folder):
    """Write the metadata that stevedore reads into ``folder`` and put both on the path."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    metadata = pathlib.Path(folder) / f'keystone_alliance-{project["version"]}.dist-info'
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: {project["name"]}\nVersion: {project["version"]}\n'
    )
    lines = []
    for group, points in project['entry-points'].items():
        lines += [f'[{group}]', *(f'{name} = {target}' for name, target in points.items()), '']
    (metadata / 'entry_points.txt').write_text('\n'.join(lines))
    path = [str(folder), str(ROOT), str(ROOT / 'tests')]
    sys.path[:0] = path
    os.environ['PYTHONPATH'] = os.pathsep.join(path)
