"""A program: a cluster of two workers on this machine. It prints the address of the scheduler; each line that it reads
is the request to kill the worker that has work, and is answered with the worker's address."""

from __future__ import annotations

import os
import signal
import sys
import time

from distributed import Client, LocalCluster


def main() -> None:
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster, Client(cluster) as client:
        print(cluster.scheduler_address, flush=True)
        for _ in sys.stdin:
            print(kill_the_busy_one(client), flush=True)


def kill_the_busy_one(client: Client) -> str:
    processes = client.run(os.getpid)
    while True:
        busy = [address for address, tasks in client.processing().items() if tasks]
        if busy:
            os.kill(processes[busy[0]], signal.SIGKILL)
            return busy[0]
        time.sleep(0.05)


if __name__ == "__main__":
    main()
