"""`python -m workers QUEUE`: one worker of a queue."""

import sys

from workers.celery_app import main

if __name__ == "__main__":
    main(sys.argv[1])
