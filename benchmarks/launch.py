"""Runs one command; prints its seconds, the most KB resident, its exit code and what it said on standard error as JSON.

A process begins with its parent's mark for the most memory, so a command that a large program starts looks as large as
the program. This small one in between keeps the mark low.
"""

import json
import resource
import subprocess
import sys
import time

began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
row = {
    "seconds": time.perf_counter() - began,
    "peak_kb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    "code": done.returncode,
    "said": done.stderr.decode(errors="replace"),
}
print(json.dumps(row))
