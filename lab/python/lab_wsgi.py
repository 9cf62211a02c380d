"""gunicorn's own arguments would stop oslo.config: the API of $LAB_WSGI gets those of
$LAB_ARGUMENTS instead, one a line."""

import importlib
import os
import sys

import lab_seen

sys.argv = [sys.argv[0], *os.environ.get("LAB_ARGUMENTS", "").split("\n")]
sys.argv = [word for word in sys.argv if word]
application = importlib.import_module(os.environ["LAB_WSGI"]).application
if "LAB_SEEN" in os.environ:
    application = lab_seen.Seen(application, os.environ["LAB_SEEN"])
