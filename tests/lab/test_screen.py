# SPDX-License-Identifier: BSD-2-Clause
"""A person before the machine: the page and a panic on its screen, and which serial port is the console."""
import struct
import time

import pytest
from conftest import GUEST_FILES
from lablib import Console
from picture import Monitor, Page

VGA = ["-device", "VGA"]
COM1, COM2 = ("-serial", "chardev:com1"), ("-serial", "chardev:com2")
PAGE = ("Tern ", "host1", "10.77.0.1", "link up", "AMD-V: guests can run", "serial port com1 (0x3f8), 115200 baud")
BOTH = pytest.mark.parametrize("boot, kind", (("uefi", "framebuffer"), ("bios", "vga")))


def equip(lab, extra=(), without=(), has_prompt=True):
    """Hosts of this lab get more arguments, and lose pairs of them; without a console nobody waits for its prompt."""
    plain = lab._qemu_command

    def command(*args, **options):
        words = plain(*args, **options)
        for pair in without:
            at = next(i for i in range(len(words)) if tuple(words[i:i + 2]) == pair)
            del words[at:at + 2]
        return words + Monitor.arguments(lab.dir / "host1") + list(extra)
    lab._qemu_command = command
    if not has_prompt:
        lab._await_prompt = lambda host, timeout: None


@BOTH
def test_the_page_says_what_is_and_what_comes_next(lab, boot, kind):
    equip(lab, VGA)
    lab.up(hosts=1, boot=boot, mem="512M", files=GUEST_FILES)
    page = Page(lab.host(1), kind)
    rows = page.wait(*PAGE, "Health", "vm create web1 kernel=vmlinuz", "migration: port")
    assert not any("\ufffd" in row for row in rows), "what is drawn is no letter of the font"
    lab.create(mem="128M", console="")
    page.wait("web1: created, 128M, 1 vCPU", "vm start web1")
    lab.host(1).run("vm start web1")
    rows = page.wait("web1: running", "peer add NAME ADDRESS")
    status = lab.host(1).json("host status")
    assert status["next"].startswith("peer add")
    for line in status["lines"]:
        assert line["label"] == "Machine" or any(line["text"][:40] in row for row in rows), line


def test_a_large_screen_has_large_letters(lab):
    equip(lab, ["-device", "VGA,edid=on,xres=1920,yres=1080"])
    lab.up(hosts=1, boot="uefi", mem="512M")
    page = Page(lab.host(1), "framebuffer")
    page.wait(*PAGE)
    assert page.monitor.picture()[:2] == (1920, 1080)


@BOTH
def test_without_any_serial_port_the_screen_says_so(lab, boot, kind):
    equip(lab, VGA, (COM1, COM2), has_prompt=False)
    lab.up(hosts=1, boot=boot, mem="512M", conf="[host]\nadress 10.77.0.1\n")
    Page(lab.host(1), kind).wait("net0: 10.77.0.1", "no serial port: nothing can be typed", "1 wrong line ignored; line ",
                                 "migration: port", seconds=90)


def test_what_is_missing_is_on_the_screen(lab):
    equip(lab, VGA)
    lab.up(hosts=1, boot="pvh", mem="512M", qemu_cpu_model="qemu64,-svm", conf="[host]\naddress = none\n")
    Page(lab.host(1), "vga").wait("no guests can run: ", "no address", "1 error", "this host has no address")


@BOTH
def test_a_panic_is_on_the_screen(lab, boot, kind):
    equip(lab, VGA)
    lab.up(hosts=1, boot=boot, mem="512M")
    page = Page(lab.host(1), kind)
    page.wait(*PAGE)
    # A machine check that says: uncorrected, processor context corrupt.
    page.monitor.order("human-monitor-command", **{"command-line": "mce 0 1 0xb200000000000000 0x4 0 0"})
    rows = page.wait("*** Tern panic on CPU 0: ")
    assert "panic" in rows[1] and any("rip" in row for row in rows[2:]), rows
    assert not any("Guests" in row for row in rows)
    assert any("migration: port" in row for row in rows), "the log's end is still there"


# --- Which serial port -----------------------------------------------------------------------------


def checksummed(table):
    return table[:9] + bytes([-sum(table) & 0xff]) + table[10:]


def spcr(path, space, address, baud):
    """Serial Port Console Redirection table, revision 2, for a 16550."""
    body = struct.pack("<B3xBBBBQBBIBBBBBBHHBBBIBI", 0, space, 8, 0, 1, address, 0, 0, 0, baud, 0, 1, 0, 3, 0,
                       0xffff, 0xffff, 0, 0, 0, 0, 0, 0)
    header = struct.pack("<4sIBB6s8sI4sI", b"SPCR", 36 + len(body), 2, 0, b"TERN", b"LAB", 1, b"TERN", 1)
    path.write_bytes(checksummed(header + body))
    return ["-acpitable", f"file={path}"]


def prompt_on_com2(lab, order):
    """The console is on COM2: it answers there, and COM1 has fallen silent."""
    console = Console(lab.host(1).dir / "com2")
    console.send(b"\r")
    console.read_until(rb"tern:host1> $", 60)
    ok, text = console.command(order)
    console.close()
    assert ok
    time.sleep(1)
    assert "tern:host1>" not in lab.host(1).log()
    return text


def test_the_configuration_decides(lab):
    equip(lab, has_prompt=False)
    lab.up(hosts=1, boot="pvh", mem="512M", conf="[host]\nconsole = com2,57600\n")
    assert "serial port com2 (0x2f8), 57600 baud" in prompt_on_com2(lab, "host status")


def test_firmwares_table_decides(lab, tmp_path):
    equip(lab, spcr(tmp_path / "spcr.bin", 1, 0x2f8, 4), has_prompt=False)
    lab.up(hosts=1, boot="pvh", mem="512M")
    assert "serial port com2 (0x2f8), 19200 baud" in prompt_on_com2(lab, "host status")


def test_a_port_that_is_not_there_leaves_the_first(lab, tmp_path):
    equip(lab, spcr(tmp_path / "spcr.bin", 1, 0x3e8, 7))
    lab.up(hosts=1, boot="pvh", mem="512M", conf="[host]\nconsole = com4\n")
    log = lab.host(1).log()
    assert "tern.conf wants com4" in log and "(SPCR) at port 0x3e8 does not answer" in log
    assert "serial port com1 (0x3f8), 115200 baud" in lab.host(1).run("host status")


def card_port(lab):
    """Where QEMU's firmware puts the ports of a serial card."""
    monitor = Monitor(lab.host(1))
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for device in monitor.order("query-pci")[0]["devices"]:
            if device["id"]["vendor"] == 0x1b36 and device["regions"][0]["address"] > 0:
                return device["regions"][0]["address"]
        time.sleep(0.2)
    raise AssertionError("the firmware gave the card no ports")


def test_firmware_may_name_a_port_on_a_card(lab, tmp_path):
    """No COM port at all; the console is on a card that only the table knows."""
    table = tmp_path / "spcr.bin"
    equip(lab, ["-device", "pci-serial,chardev=com1"] + spcr(table, 1, 0, 7), (COM1, COM2))
    wait_for_prompt, lab._await_prompt = lab._await_prompt, lambda host, timeout: None
    lab.up(hosts=1, boot="pvh", mem="512M")
    port = card_port(lab)
    lab.down()
    spcr(table, 1, port, 7)
    lab._await_prompt = wait_for_prompt
    lab.up(hosts=1, boot="pvh", mem="512M")
    assert f"type on serial port spcr ({port:#x}), 115200 baud" in lab.host(1).run("host status")
    assert len(lab.host(1).run("help").splitlines()) > 30
