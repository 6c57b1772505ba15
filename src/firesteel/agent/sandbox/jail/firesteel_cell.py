"""Runs a piece of code like a notebook's cell: the value of a last expression is printed, open figures are written.

No pathlib, no typing: they would cost milliseconds at every start.
"""

from __future__ import annotations

import ast
import linecache
import sys
import traceback
import types

NAME = "<code>"


def run(code: str) -> int:
    """Returns the exit status. A traceback on stderr begins in the code, not in what runs it."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    linecache.cache[NAME] = (len(code), None, code.splitlines(True), NAME)  # lets a traceback show the lines
    try:
        tree = ast.parse(code, NAME)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, NAME, "exec"), main.__dict__)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), NAME, "eval"), main.__dict__)
            if value is not None:
                print(repr(value))
        if "matplotlib.pyplot" in sys.modules:
            import firesteel_figures

            firesteel_figures.show()
    except SystemExit:
        raise
    except BaseException as error:  # an interpreter's top level: whatever the code raises is shown
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, ast.__file__):
            trace = trace.tb_next
        sys.stdout.flush()
        traceback.print_exception(error.with_traceback(trace))
        return 1
    return 0
