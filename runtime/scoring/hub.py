"""Whether the hub answers, asked once and briefly: its client tries six times for each file, half a minute or more,
before it says that it cannot.
"""

from __future__ import annotations

import os
import ssl
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

OFFLINE = "HF_HUB_OFFLINE"
PROBE_SECONDS = 3


def offline_unless_reachable() -> None:
    """Keep the hub's client to its cache where the hub does not answer. Call it before huggingface_hub is imported: it
    reads its environment once.
    """
    if OFFLINE not in os.environ and not _answers():
        os.environ[OFFLINE] = "1"


def _answers() -> bool:
    """Any answer counts, also through a proxy, also one that this client may not trust."""
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urlopen(Request(hub, method="HEAD"), timeout=PROBE_SECONDS).close()
    except HTTPError:
        return True
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError, HTTPException):
        return False
    return True
