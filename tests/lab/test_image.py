# SPDX-License-Identifier: BSD-2-Clause
"""The one image: started by UEFI and by BIOS, as a disk, a USB stick and a CD, with nothing beside it."""
import re
import subprocess
import time

import pytest

from media import ROOT, write_image

CONFIG = b"[host]\nname = stick\naddress = 10.77.0.7/24\n"
FILES = {"tern.conf": CONFIG, "odd name's.bin": b"not a kernel", "second.bin": bytes(range(256)) * 9000}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "tern.iso"
    write_image(path, FILES, room_mib=8)
    return path


def edit(image, name, data):
    """As the owner of a stick does: through the partition, whatever else the image is."""
    first_block = int.from_bytes(image.read_bytes()[454:458], "little")
    subprocess.run(["mcopy", "-o", "-i", f"{image}@@{first_block * 512}", "-", f"::tern/{name}"], input=data, check=True)


def medium_arguments(image, medium):
    """The same bytes in three clothes; what is written to them is thrown away."""
    drive = f"format=raw,file={image},snapshot=on"
    return {"disk": ["-drive", f"if=ide,{drive}"],
            "usb": ["-device", "qemu-xhci", "-drive", f"if=none,id=stick,{drive}",
                    "-device", "usb-storage,drive=stick,removable=on"],
            "cd": ["-drive", f"if=ide,media=cdrom,{drive}"]}[medium]


@pytest.mark.parametrize("medium", ("disk", "cd"))
@pytest.mark.parametrize("firmware", ("uefi", "bios"))
def test_every_way_in(lab, image, firmware, medium):
    lab.boot_medium(firmware, medium_arguments(image, medium))
    host = lab.host(1)
    info = host.json("host info")
    assert info["name"] == "stick"
    assert info["loader"] == {"uefi": "UEFI", "bios": "multiboot2"}[firmware]
    assert info["virtualization"] == "AMD-V"
    assert "warning: loader" not in host.log()
    ok, text = host.command("vm create x kernel=second.bin mem=64M")
    assert not ok and "neither a Linux bzImage nor an ELF" in text
    ok, text = host.command('vm create x kernel="odd name\'s.bin" mem=64M')
    assert not ok and "neither a Linux bzImage nor an ELF" in text


@pytest.mark.parametrize("firmware", ("uefi", "bios"))
def test_an_edit_on_the_stick_is_honoured(lab, image, tmp_path, firmware):
    stick = tmp_path / "stick.iso"
    stick.write_bytes(image.read_bytes())
    edit(stick, "tern.conf", CONFIG.replace(b"stick", b"edited"))
    edit(stick, "added.bin", b"added")
    lab.boot_medium(firmware, medium_arguments(stick, "usb"))
    assert lab.host(1).json("host info")["name"] == "edited"
    ok, text = lab.host(1).command("vm create x kernel=added.bin mem=64M")
    assert not ok and "neither a Linux bzImage nor an ELF" in text


def wait_for(host, words, timeout=60):
    end = time.monotonic() + timeout
    while words not in host.log():
        assert time.monotonic() < end, f"'{words}' did not appear"
        time.sleep(0.1)


def test_without_the_core_grub_says_what_to_do(lab, image, tmp_path):
    stick = tmp_path / "stick.iso"
    stick.write_bytes(image.read_bytes().replace(b"\x7fELF\2\1", b"\x7fBAD\2\1"))
    lab.boot_medium("bios", medium_arguments(stick, "disk"), prompt=False)
    wait_for(lab.host(1), "tern: boot/tern.elf is missing or damaged: write the image again")
    wait_for(lab.host(1), "tern: not started")


def test_the_same_files_give_the_same_bytes(image, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    again = tmp_path / "again.iso"
    write_image(again, FILES, room_mib=8)
    assert again.read_bytes() == image.read_bytes()


def test_make_image_and_its_sums(tmp_path):
    (tmp_path / "tern.conf").write_bytes(CONFIG)
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    made = subprocess.run(["make", "-s", "-C", ROOT, "image", f"FILES={tmp_path}/tern.conf kernel={tmp_path}/big", "ROOM=40"],
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=ROOT / "build", check=True)
    volume = f"{ROOT}/build/tern.iso@@{2**20}"
    assert subprocess.run(["mtype", "-i", volume, "::tern/tern.conf"], capture_output=True).stdout == CONFIG
    listing = subprocess.run(["mdir", "-i", volume, "::tern"], capture_output=True, text=True).stdout.replace(" ", "")
    assert "3000000" in listing
    free = re.search(r"(\d+)bytesfree", listing)
    assert free and int(free[1]) >= 40 * 2**20


def test_a_file_that_is_not_there_is_named(tmp_path):
    packed = subprocess.run([ROOT / "tools/pack", tmp_path / "x.iso", "nowhere/vmlinuz"], capture_output=True, text=True)
    assert packed.returncode == 1 and packed.stderr.startswith("tools/pack: ") and "nowhere/vmlinuz" in packed.stderr
    assert not list(tmp_path.iterdir())
