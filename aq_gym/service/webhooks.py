"""Alerts sent to other systems as JSON, each at least once, in order, to hosts that the operator listed."""

import hashlib
import http.client
import json
import logging
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError

from aq_gym.service.database import Alert
from aq_gym.service.leader import Leadership
from aq_gym.service.running import Part
from aq_gym.service.store import Store

log = logging.getLogger("aq_gym.service")
TIMEOUT, FIRST_PAUSE, LONGEST_PAUSE = 5.0, 1.0, 300.0  # seconds


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A redirection is an error: it could lead to a host that nobody listed."""


class Webhooks(Part):
    """Sends alerts to one receiver as JSON, each at least once, in order; a restart goes on after the last one."""

    def __init__(self, store: Store, url: str, leadership: Leadership, first_pause: float = FIRST_PAUSE) -> None:
        super().__init__("webhook")
        self._store, self._url, self._leadership = store, url, leadership
        self._first_pause = first_pause
        self._fact = "webhook:" + hashlib.sha256(url.encode()).hexdigest()[:32]
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    def run(self) -> None:
        """Send what is new; after a failure wait twice as long as before."""
        pause = self._first_pause
        while not self._stop_asked.wait(pause):
            try:
                if self._leadership.held():
                    self.send_new()
                pause = self._first_pause
            except (OSError, http.client.HTTPException, DBAPIError) as error:
                pause = min(2.0 * pause, LONGEST_PAUSE)
                about = {"host": urlsplit(self._url).hostname, "reason": type(error).__name__, "again_in": pause}
                log.warning("webhook", extra={"about": about})  # never the URL: its path may be a secret

    def send_new(self) -> None:
        """Send the alerts that were not sent yet, oldest first."""
        for alert in self._store.alerts_after(int(self._store.fact(self._fact, "0"))):
            self._post(alert)
            self._store.put_fact(self._fact, str(alert.id))

    def _post(self, alert: Alert) -> None:
        body = {"id": alert.id, **alert.as_json()}
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers, method="POST")
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            answer.read(1000)
