"""`servd frontend` with a name service of its own: every name has the addresses in BENCH_ADDRESSES.

Run by benchmarks/cluster_mode.py; takes the command line of servd.
"""

import os

from servd.cli.main import main
from servd.frontends import discovery


def addresses_of(host: str) -> frozenset[str]:
    """Return the addresses of a benchmark's replicas."""
    del host
    return frozenset(os.environ["BENCH_ADDRESSES"].split(","))


discovery.addresses_of = addresses_of

if __name__ == "__main__":
    main()
