"""Lock everything below the directories that can be opened, print how much that is, and hold it for ten minutes."""

import contextlib
import fcntl
import os
import sys
import time

held = []
for place in sys.argv[1:]:
    for directory, _directories, names in os.walk(place):
        for path in [directory, *(os.path.join(directory, name) for name in names)]:
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.append(descriptor)
print(len(held), flush=True)
time.sleep(600)
