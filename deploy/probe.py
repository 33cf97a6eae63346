"""Exits with 0 if this machine's service answers PATH with 200: the containers' health check, without curl.

python deploy/probe.py /livez
"""

import http.client
import os
import sys

TIMEOUT = 3.0
"""Seconds; less than the check's own timeout, so that this process ends by itself."""


def answers(path: str, port: int) -> bool:
    """Whether ``GET path`` on 127.0.0.1 is answered with 200 within TIMEOUT."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not answers(sys.argv[1], int(os.environ.get("MACREC_PORT", "8000"))))
