"""Answers requests until standard input closes."""

import json
import traceback

import components
import environments
from common import Wrong, keep_bytecode, place, shortened


def serve(requests, answers):
    """Answers every request of a stream."""

    def reply(answer, payload=b""):
        answer["bytes"] = len(payload)
        answers.write(json.dumps(answer).encode() + b"\n" + payload)
        answers.flush()

    task = None
    keep_bytecode()
    for line in requests:
        try:
            request = json.loads(line)
            if request["do"] in components.REQUESTS:
                reply({"ok": components.REQUESTS[request["do"]](request)})
                continue
            task, found, payload = environments.handle(request, task)
            reply({"ok": found}, payload)
        except Wrong as wrong:
            reply({"error": shortened(wrong.message), "help": shortened(wrong.help)})
        except MemoryError:
            reply({"error": "Python ran out of memory"})
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            text = shortened(str(error).strip()) or "no message"
            help = getattr(error, "remedy", None)
            reply({"error": "Python: %s: %s%s" % (type(error).__name__, text, place(error)), "help": help})
