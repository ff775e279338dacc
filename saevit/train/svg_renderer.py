"""Render SVG text with resvg in a separate process, which cannot open files and may crash or hang."""

import io
import json
import select
import struct
import subprocess
import sys
import time
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from saevit.errors import OptionError, need

TIMEOUT = 10.0  # seconds for one drawing; usually a drawing takes about a millisecond
MAX_FAILURES = 20  # crashes and timeouts after which the renderer raises an error
# The process is limited to 4 GiB of memory, and cannot open files after the import.
PROGRAM = """
import json, resource, struct, sys
import resvg_py
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
for line in sys.stdin.buffer:
    try:
        png = bytes(resvg_py.svg_to_bytes(json.loads(line), background="white", skip_system_fonts=True))
    except BaseException:  # a panic in Rust is no Exception
        png = b""
    sys.stdout.buffer.write(struct.pack("<I", len(png)) + png)
    sys.stdout.buffer.flush()
"""


class SvgRenderer:
    """Renders drawings on a white ground. It is a context manager that ends the process after the block."""

    def __init__(self) -> None:
        need("resvg_py", "train")
        self.failures, self.process = 0, self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process in a new session, which does not receive Ctrl-C."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            bufsize=0,
            stdin=pipe,
            stdout=pipe,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def render(self, svg: str) -> NDArray[np.uint8] | None:
        """Return a drawing as a grey image (H, W); None if resvg rejects it, crashes or exceeds the timeout.

        Raises:
            OptionError: resvg crashed or hung more than `MAX_FAILURES` times.
        """
        module: Any = need("PIL.Image")
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(svg).encode() + b"\n")
            end = time.monotonic() + TIMEOUT
            (length,) = struct.unpack("<I", self.read(4, end))
            png = self.read(length, end)
        except (OSError, EOFError) as error:
            self.stop()
            self.failures += 1
            if self.failures > MAX_FAILURES:
                raise OptionError(
                    f"the renderer resvg failed {self.failures} times: update it (pip install -U resvg-py), "
                    "or read another package of icons"
                ) from error
            self.process = self.start()
            return None
        if not png:
            return None
        with module.open(io.BytesIO(png), formats=("PNG",)) as image:
            pixels: NDArray[np.uint8] = np.asarray(image.convert("L"))
        return pixels

    def read(self, count: int, end: float) -> bytes:
        """Read `count` bytes from the process; `end` is the deadline in seconds of the monotonic clock.

        Raises:
            EOFError: the process ended.
            TimeoutError: the deadline passed.
        """
        assert self.process.stdout is not None
        data = b""
        while len(data) < count:
            if not select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0))[0]:
                raise TimeoutError
            part = self.process.stdout.read(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data
