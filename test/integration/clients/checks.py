"""Runs the checks of one client library against a server: every function `check_*` of the calling module.

Prints one line of JSON for each check, {"name": ..., "error": null or a traceback}; the test that started it judges them.
"""

import asyncio
import inspect
import json
import sys
import traceback


def run(module_globals, *arguments):
    checks = {name: f for name, f in module_globals.items() if name.startswith("check_")}
    for name, check in checks.items():
        error = None
        try:
            outcome = check(*arguments)
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)
        except BaseException:  # what a check meets, the test reports
            error = traceback.format_exc()
        title = name.removeprefix("check_").replace("_", " ")
        print(json.dumps({"name": title, "error": error}), flush=True)


def url():
    """Where the server listens, as in 127.0.0.1:8080."""
    return sys.argv[1]
