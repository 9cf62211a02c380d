"""gunicorn's own arguments would stop oslo.config: hide them, then load the API of $LAB_WSGI."""

import importlib
import os
import sys

import lab_seen

sys.argv = sys.argv[:1]
application = importlib.import_module(os.environ["LAB_WSGI"]).application
if "LAB_SEEN" in os.environ:
    application = lab_seen.Seen(application, os.environ["LAB_SEEN"])
