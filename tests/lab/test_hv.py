# SPDX-License-Identifier: BSD-2-Clause
"""The back end alone on an emulated machine (tests/bare/hv.c), and the emulator's nested walk with it."""
import subprocess

import pytest
from lablib import BUILD

QEMU = ("qemu-system-x86_64", "-accel", "tcg", "-m", "256M", "-nographic", "-nodefaults", "-serial", "stdio",
        "-no-reboot", "-kernel", str(BUILD / "bare" / "hv.elf"))


def lines_until_done(cpu, cpus):
    """What the test prints, up to its last line."""
    command = QEMU + ("-cpu", cpu, "-smp", str(cpus))
    with subprocess.Popen(("timeout", "60") + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, errors="replace") as process:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("DONE "):
                break
        process.terminate()
    return lines


@pytest.mark.parametrize("cpu,cpus", (("EPYC,+svm,+npt", 1), ("EPYC,+svm,+npt", 2), ("max", 1)))
def test_back_end(cpu, cpus):
    lines = lines_until_done(cpu, cpus)
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert lines and lines[-1].startswith("DONE ") and lines[-1].endswith(" 0"), "\n".join(lines[-20:])
    assert "PASS pages 3 and 5 written, 4 only read" in lines
