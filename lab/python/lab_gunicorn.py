"""gunicorn's own configuration: an API's modules are loaded once, before its workers are forked."""

import importlib
import os


def on_starting(_server):
    for module in os.environ["LAB_MODULES"].split():
        importlib.import_module(module)
