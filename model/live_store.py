"""Where the live log of a service or a command is."""

from pathlib import Path

from model.live_file import FileLog
from model.live_log import LiveLog
from model.live_memory import MemoryLog
from model.live_redis import RedisLog


def open_live_log(redis_url: str | None, folder: Path | None, timeout: float = 1.0) -> LiveLog:
    """The log in Redis if there is one, else in a folder, else in this process' memory.

    ``timeout`` bounds, in seconds, connecting to Redis and each wait for its answer; nothing is retried.

    Raises:
        ConfigError: if the URL cannot be understood.
    """
    if redis_url is not None:
        return RedisLog(redis_url, timeout)
    return MemoryLog() if folder is None else FileLog(folder)
