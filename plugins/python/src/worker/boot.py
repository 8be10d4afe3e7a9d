"""Starts the process: reads its own modules from the first line of standard input.

Requests arrive on standard input, one JSON object per line. Answers go to the original standard output:
one JSON object per line, followed by the number of bytes in its `bytes`. Output of a user's code goes to
standard error. Needs only Python 3.8 or later and its standard library.
"""

import json
import os
import sys
import types

# Redirected, so that a user's code can neither print into the answers nor read requests.
REQUESTS = os.fdopen(os.dup(0), "rb")
ANSWERS = os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)
# Importing must not change a folder of modules; see `common.keep_bytecode`.
sys.dont_write_bytecode = True
sources = json.loads(REQUESTS.readline())
own = {}
for name, source in sources:
    module = types.ModuleType(name)
    # Modules of a user may have the same names.
    hidden = {known: sys.modules.pop(known) for known in list(own) if known in sys.modules}
    sys.modules.update(own)
    exec(compile(source, "<pallium>/%s.py" % name, "exec"), vars(module))
    own[name] = module
    for known in own:
        sys.modules.pop(known, None)
    sys.modules.update(hidden)
own["main"].serve(REQUESTS, ANSWERS)
