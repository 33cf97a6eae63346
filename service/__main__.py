"""``python -m service``: serves until SIGTERM or Ctrl-C, then lets requests in flight end."""

import math
import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError

from model.errors import ConfigError
from service.app import create_app
from service.logs import configure_logs
from service.service import Service
from service.settings import Settings, load_settings

KEEP_ALIVE = 75


class Server(uvicorn.Server):
    """A server that stops admitting requests at the first signal, and ends if there is nothing to serve."""

    def __init__(self, settings: Settings) -> None:
        """Prepares to serve by ``settings``."""
        app = create_app(settings, on_failure=self.end)
        self.service: Service = app.state.service
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=math.ceil(settings.drain),
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuses new recommendations, then drains as uvicorn does."""
        self.service.scheduler.draining = True
        super().handle_exit(sig, frame)

    def end(self) -> None:
        """Ends the server from within."""
        self.should_exit = True


def main() -> int:
    """Runs the service; returns the process' exit status: 1 without a bundle to serve, 2 with wrong settings."""
    try:
        settings = load_settings()
        configure_logs(settings.log_level)
        server = Server(settings)
    except (ValidationError, ConfigError) as error:
        sys.stderr.write(f"The settings cannot be used: {error}\n")
        return 2
    server.run()
    return 1 if server.service.failure else 0


if __name__ == "__main__":
    sys.exit(main())
