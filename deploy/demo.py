"""The demo: generate the sample shop, train on it, serve the bundle and ask it for recommendations over HTTP.

What is there already is reused, so a second run serves within seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CONFIG = Path("training/configs/sample.toml")
HISTORY_SHOWN = 5
START_SECONDS = 120


def main() -> int:
    """Runs the demo; the exit status is 0 if recommendations were printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--once", action="store_true", help="stop after printing")
    arguments = parser.parse_args()
    train(arguments.data, arguments.run)
    address = f"http://127.0.0.1:{arguments.port}"
    log_file = arguments.run / "service.log"
    with log_file.open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "service"],
            env=os.environ
            | {
                "MACREC_BUNDLE": str(arguments.run / "bundle"),
                "MACREC_STATE": str(arguments.run / "state"),
                "MACREC_PORT": str(arguments.port),
            },
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_ready(server, address, log_file)
        show_metrics(arguments.run)
        show_recommendations(address, arguments.run)
        if not arguments.once:
            say(f"\nServing on {address} (API: {address}/docs). Log: {log_file}. Ctrl-C ends it.")
            server.wait()
    except KeyboardInterrupt:
        say("")
    finally:
        server.terminate()
        server.wait()
    return 0


def train(data: Path, run: Path) -> None:
    """Generates the shop if it is not there, and runs the stages that are not up to date."""
    if not (data / "interactions.csv").exists():
        command("sample", "--out", str(data))
    command("run", "--config", str(CONFIG), "--data", str(data), "--out", str(run))


def command(*arguments: str) -> None:
    """One command of offline training."""
    subprocess.run([sys.executable, "-m", "training", *arguments], check=True)  # noqa: S603


def wait_until_ready(server: "subprocess.Popen[bytes]", address: str, log_file: Path) -> None:
    """Returns when the service answers; ends the demo if it does not come up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"the service ended with status {server.returncode}, see {log_file}; port taken? PORT=8001")
        try:
            ask(f"{address}/readyz")
        except OSError:
            time.sleep(0.2)
        else:
            return
    sys.exit(f"the service at {address} was not ready within {START_SECONDS} s")


def ask(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The JSON answer to a GET, or to a POST of ``body``."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 (loopback)
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        answer: dict[str, Any] = json.load(response)
    return answer


def show_metrics(run: Path) -> None:
    """What the model reached on held-out purchases, beside popularity and the shop's own probabilities."""
    metrics = json.loads((run / "evaluate" / "metrics.json").read_text())["seen_removed"]
    say("\nHR@10 on the last purchase of every user, seen items removed:")
    lists = [name for name in metrics if not name.endswith("/semantic_id")]
    for name in sorted(lists, key=lambda name: metrics[name]["hr@10"]):
        say(f"  {name:<14} {metrics[name]['hr@10']:.3f}")


def show_recommendations(address: str, run: Path) -> None:
    """Asks for a shopper whose last purchases are the shop's first few items of one category, and prints titles."""
    lines = (run / "prepare" / "items.jsonl").read_text().splitlines()
    history = [json.loads(line)["id"] for line in lines[:HISTORY_SHOWN]]
    say(f"\nPOST {address}/recommend  history of {HISTORY_SHOWN} items:")
    for item in history:
        say(f"  {item:<18} {ask(f'{address}/items/{item}')['title']}")
    answer = ask(f"{address}/recommend", {"history": history, "k": 10})
    say(f"recommended in {answer['timings_ms'].get('total', 0):.1f} ms:")
    for item in answer["items"]:
        say(f"  {item['rank']:>2}. {item['id']:<18} {item['title']:<60} {item['score']:.3f}")


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
