"""``python -m service``: serves until SIGTERM or Ctrl-C, then lets requests in flight end."""

import sys
from types import FrameType

import uvicorn
from pydantic import ValidationError

from service.app import create_app
from service.logs import configure_logs
from service.settings import Settings, load_settings

KEEP_ALIVE = 75


class Server(uvicorn.Server):
    """A server that stops admitting requests at the first signal."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuses new recommendations, then drains as uvicorn does."""
        self.config.app.state.service.scheduler.draining = True  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def main() -> int:
    """Runs the service; returns the process' exit status."""
    try:
        settings = load_settings()
    except ValidationError as error:
        sys.stderr.write(f"The settings cannot be used: {error}\n")
        return 2
    configure_logs(settings.log_level)
    return serve(settings)


def serve(settings: Settings) -> int:
    """Serves by ``settings`` until a signal; 1 if the bundle cannot be served."""

    def end() -> None:
        server.should_exit = True

    app = create_app(settings, on_failure=end)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=round(settings.drain),
    )
    server = Server(config)
    server.run()
    return 1 if app.state.service.failure else 0


if __name__ == "__main__":
    sys.exit(main())
