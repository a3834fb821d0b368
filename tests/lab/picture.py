# SPDX-License-Identifier: BSD-2-Clause
"""What a host's screen shows, as text, read back from a picture that QEMU takes of it."""
import importlib.machinery
import importlib.util
import json
import re
import socket
import time

from lablib import ROOT

FONT = "/usr/share/consolefonts/spleen-8x16.psfu.gz"
BACKGROUNDS = {(0x10, 0x14, 0x1a), (0x1f, 0x4e, 0x79), (0x9c, 0x2a, 0x2a)}  # arch/pixels.c: black, blue, red
WIDTH, HEIGHT = 8, 16


def load_font():
    """{bitmap: character}, of the font itself and not of what the build made of it."""
    loader = importlib.machinery.SourceFileLoader("font", str(ROOT / "tools/font"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("font", loader))
    loader.exec_module(module)
    return {bitmap: c for c, bitmap in module.glyphs(module.read(FONT)).items() if " " <= c <= "~"}


class Monitor:
    """QEMU's monitor; the host was started with arguments()."""

    @staticmethod
    def arguments(folder):
        return ["-qmp", f"unix:{folder}/qmp,server=on,wait=off"]

    def __init__(self, host):
        self.folder = host.dir
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        end = time.monotonic() + 10
        while True:
            try:
                self.sock.connect(str(host.dir / "qmp"))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                assert time.monotonic() < end, "QEMU opened no monitor"
                time.sleep(0.05)
        self.file = self.sock.makefile("rw")
        self.file.readline()
        self.order("qmp_capabilities")

    def order(self, what, **arguments):
        self.file.write(json.dumps({"execute": what, "arguments": arguments}) + "\n")
        self.file.flush()
        while True:
            answer = json.loads(self.file.readline())
            if "error" in answer:
                raise AssertionError(f"QEMU refused {what}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def picture(self):
        """(width, height, bytes of red, green, blue)."""
        path = self.folder / "screen.ppm"
        self.order("screendump", filename=str(path))
        kind, size, depth, pixels = path.read_bytes().split(b"\n", 3)
        width, height = map(int, size.split())
        assert (kind, depth, len(pixels)) == (b"P6", b"255", width * height * 3)
        return width, height, pixels

    def memory(self, address, size):
        path = self.folder / "memory.bin"
        self.order("pmemsave", val=address, size=size, filename=str(path))
        return path.read_bytes()

    def close(self):
        self.sock.close()


def scale_of(width, height):
    """As arch/pixels.h promises: as large as leaves 100 x 30 characters."""
    scale = 1
    while scale < 8 and width // (WIDTH * (scale + 1)) >= 100 and height // (HEIGHT * (scale + 1)) >= 30:
        scale += 1
    return scale


def cell_at(pixels, width, x, y, side):
    """The bytes of side[0] x side[1] pixels."""
    starts = range(3 * (y * width + x), 3 * ((y + side[1]) * width + x), 3 * width)
    return b"".join(pixels[at:at + 3 * side[0]] for at in starts)


def bitmap_of(cell, scale):
    """A cell as a bitmap of the font; every dot must be one even square."""
    stride, lines = 3 * WIDTH * scale, []
    for line in range(HEIGHT):
        bits = 0
        for dot in range(WIDTH):
            square = {cell[at:at + 3] for y in range(line * scale, (line + 1) * scale)
                      for at in range(y * stride + dot * 3 * scale, y * stride + (dot + 1) * 3 * scale, 3)}
            assert len(square) == 1, "an uneven dot"
            bits = bits << 1 | (tuple(square.pop()) not in BACKGROUNDS)
        lines.append(bits)
    return bytes(lines)


def read_framebuffer(monitor, font):
    """The rows of text of a screen that Tern draws itself."""
    width, height, pixels = monitor.picture()
    scale = scale_of(width, height)
    side = WIDTH * scale, HEIGHT * scale
    columns, rows = min(width // side[0], 160), min(height // side[1], 64)
    left, top = (width - columns * side[0]) // 2, (height - rows * side[1]) // 2
    text, known = [], {}
    for row in range(rows):
        cells = [cell_at(pixels, width, left + column * side[0], top + row * side[1], side) for column in range(columns)]
        for cell in cells:
            if cell not in known:
                known[cell] = font.get(bitmap_of(cell, scale), "\ufffd")
        text.append("".join(known[cell] for cell in cells).rstrip())
    return text


def read_vga(monitor):
    """The rows of a VGA in text mode: of its memory, and the picture must agree: a letter always looks the same."""
    cells = monitor.memory(0xb8000, 80 * 25 * 2)
    width, height, pixels = monitor.picture()
    if height != 25 * HEIGHT or cells != monitor.memory(0xb8000, len(cells)):
        return [] # before there is a mode, or in the middle of a change: again
    if not re.search(rb"Tern (\d|panic)", cells[::2]):
        return [] # firmware's text, under its cursor
    looks, step = {}, width // 80
    for index in range(80 * 25):
        look = cell_at(pixels, width, index % 80 * step, index // 80 * HEIGHT, (step, HEIGHT))
        assert looks.setdefault(cells[2 * index:2 * index + 2], look) == look, "a character looks different elsewhere"
    seen = {}
    for cell, look in looks.items():
        if cell[1] == 7: # grey on black
            assert seen.setdefault(look, cell) == cell or not any(look), "two letters look the same"
    return [cells[row * 160:row * 160 + 160:2].decode("latin-1").rstrip() for row in range(25)]


class Page:
    """The screen of a host as rows of text; kind is "framebuffer" or "vga"."""

    def __init__(self, host, kind):
        self.monitor, self.kind = Monitor(host), kind
        self.font = load_font()

    def rows(self):
        return read_vga(self.monitor) if self.kind == "vga" else read_framebuffer(self.monitor, self.font)

    def wait(self, *wanted, seconds=60):
        """The rows once all the texts are on the screen; none of them may be broken over two rows."""
        end = time.monotonic() + seconds
        while True:
            rows = self.rows()
            missing = [text for text in wanted if not any(text in row for row in rows)]
            if not missing:
                return rows
            assert time.monotonic() < end, f"{missing} not on the screen:\n" + "\n".join(rows)
            time.sleep(0.5)
