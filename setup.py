"""Build the one extension, ``breaker._core``. Everything else is in ``pyproject.toml``.

Environment switches for developers:
  BREAKER_DEBUG=1      no optimisation, debug symbols, assertions on, an illegal transition ends the process
  BREAKER_COVERAGE=1   lines can be traced, for `make coverage`; slow
  BREAKER_SANITIZE=x   pass ``-fsanitize=x`` (address, thread, undefined)
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

compile_args = ["-O3", "-fno-semantic-interposition"]
link_args: list[str] = []
macros: list[tuple[str, str | None]] = []
if os.environ.get("BREAKER_DEBUG"):
    compile_args = ["-O0", "-g3", "-UNDEBUG"]
    macros = [("BREAKER_DEBUG", None)]
tracing = bool(os.environ.get("BREAKER_COVERAGE"))
if tracing:
    compile_args = ["-O1"]
    macros += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")]
if sanitizer := os.environ.get("BREAKER_SANITIZE"):
    compile_args += [f"-fsanitize={sanitizer}", "-fno-omit-frame-pointer"]
    link_args += [f"-fsanitize={sanitizer}"]

core = Extension(
    "breaker._core",
    sources=["src/breaker/_core.pyx"],
    depends=sorted(glob("src/breaker/native/*")),
    define_macros=macros,
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)

setup(
    ext_modules=cythonize(
        [core],
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            "binding": False,
            "auto_pickle": False,
            "freethreading_compatible": True,
            "linetrace": tracing,
            "autotestdict": False,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
        },
    )
)
