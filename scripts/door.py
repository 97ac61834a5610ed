"""Old place of `scripts.command`."""

from scripts.command import TRACEBACK as TRACEBACK
from scripts.command import enter as enter
from scripts.command import json_object as json_object
