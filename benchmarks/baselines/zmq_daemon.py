"""servd with its replicas on ZeroMQ in the place of a unix stream; takes servd's command line.

Run by benchmarks/front_end_mode.py: on a cluster replicas are reached by ZeroMQ, so that a front
end there has to be compared with a daemon that does so too.
"""

from servd.cli.main import main
from servd.launchers import process

process._address = lambda path: f"ipc://{path}"  # noqa: SLF001 - no setting: nobody gains by it

if __name__ == "__main__":
    main()
