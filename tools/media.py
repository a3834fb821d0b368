# SPDX-License-Identifier: BSD-2-Clause
"""Boot media: what Tern is started from, made of {name: bytes or path} and of what make has built.

    write_cpio      an archive of boot files, what the PVH entry reads
    write_volume    a disk that is one FAT volume, for UEFI
    write_image     that volume in a hybrid image (tools/iso.py), for a disk, a USB stick or a CD

The volume holds \\EFI\\BOOT\\BOOTX64.EFI for UEFI, \\boot\\grub.cfg and \\boot\\tern.elf for BIOS, and the
boot files in \\tern for both. The same files give the same bytes: all dates are SOURCE_DATE_EPOCH's,
all identifiers are fixed.
"""
import os
import subprocess
import tempfile
from pathlib import Path

import iso

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("TERN_BUILD", ROOT / "build"))
GRUB = Path("/usr/lib/grub/i386-pc")
GRUB_MODULES = ("biosdisk iso9660 fat loopback multiboot2 normal test regexp echo cpuid serial terminal boot "
                "halt reboot ls cat").split()
MIB = 2**20
FAT32_MIN_MIB = 34  # fewer clusters make it FAT16 (Microsoft, FAT specification 1.03)


class ToolError(Exception):
    """What went wrong, why, and what to do, in one sentence."""


def environment():
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "1767225600")
    return {**os.environ, "SOURCE_DATE_EPOCH": epoch, "TZ": "UTC", "MTOOLS_SKIP_CHECK": "1"}


def run(*args, **options):
    try:
        subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                       env=environment(), **options)
    except FileNotFoundError:
        raise ToolError(f"{args[0]} is not installed: run tools/setup")
    except subprocess.CalledProcessError as problem:
        raise ToolError(f"{' '.join(map(str, args))}: {problem.stderr.decode(errors='replace').strip()}")


def size_of(data):
    return len(data) if isinstance(data, bytes) else Path(data).stat().st_size


def write_cpio(path, files):
    """A newc archive of {name: bytes or Path}: what a PVH boot takes for its boot volume."""
    with open(path, "wb") as out:
        def member(name, data):
            name = name.encode() + b"\0"
            fields = [0, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
            out.write(b"070701" + b"".join(b"%08X" % f for f in fields) + name)
            out.write(b"\0" * (-out.tell() % 4) + data)
            out.write(b"\0" * (-out.tell() % 4))
        for name, data in files.items():
            member(name, data if isinstance(data, bytes) else Path(data).read_bytes())
        member("TRAILER!!!", b"")


def volume_parts(files, core):
    parts = {f"tern/{name}": data for name, data in files.items()}
    parts["EFI/BOOT/BOOTX64.EFI"] = BUILD / "BOOTX64.EFI"
    parts["boot/tern.elf"] = BUILD / core
    parts["boot/grub.cfg"] = ROOT / "boot/grub.cfg"
    return parts


def volume_mib(parts, room_mib):
    content = sum(size_of(data) for data in parts.values()) * 102 // 100 // MIB + 2  # two FATs, ends of clusters
    return max(content + room_mib, FAT32_MIN_MIB)


def fill_volume(image, at, mib, parts):
    """Formats the volume of that size at byte `at` of the image file, and copies the parts."""
    target = f"{image}@@{at}"
    cluster = 1 if mib < 300 else 8  # in blocks; FAT32 needs 65525 of them
    run("mformat", "-i", target, "-F", "-c", cluster, "-T", mib * 2048, "-H", at // 512, "-v", "TERN",
        "-N", "5445524e", "::")
    run("mmd", "-i", target, "::EFI", "::EFI/BOOT", "::boot", "::tern")
    for name, data in parts.items():
        if isinstance(data, bytes):
            run("mcopy", "-i", target, "-", f"::{name}", input=data)
        else:
            run("mcopy", "-i", target, data, f"::{name}")


def write_volume(path, files, room_mib=0, core="tern.stripped"):
    """A disk that is nothing but the FAT volume, with room_mib for more files; BIOS would start BUILD/core."""
    parts = volume_parts(files, core)
    mib = volume_mib(parts, room_mib)
    with open(path, "wb") as volume:
        volume.truncate(mib * MIB)
    fill_volume(path, 0, mib, parts)


def grub_image():
    """GRUB as El Torito starts it: made once, then kept in BUILD."""
    kept, config = BUILD / "grub.img", ROOT / "boot/grub_early.cfg"
    if kept.exists() and kept.stat().st_mtime > max(Path(f).stat().st_mtime for f in (config, __file__)):
        return kept.read_bytes()
    if not (GRUB / "cdboot.img").exists():
        raise ToolError(f"GRUB for BIOS is missing ({GRUB}): run tools/setup")
    with tempfile.TemporaryDirectory() as folder:
        commands, core = Path(folder) / "commands", Path(folder) / "core"
        commands.write_text("".join(line for line in config.open() if not line.startswith("#")))
        run("grub-mkimage", "-O", "i386-pc", "-p", "", "-c", commands, "-o", core, *GRUB_MODULES)
        image = iso.grub_image((GRUB / "cdboot.img").read_bytes(), core.read_bytes())
    with tempfile.NamedTemporaryFile(dir=BUILD, delete=False) as new:
        new.write(image)
    os.replace(new.name, kept)
    return image


def write_image(path, files, room_mib=0, core="tern.stripped"):
    """The volume in a hybrid image: for a disk or stick and for a CD, started by BIOS and by UEFI."""
    parts = volume_parts(files, core)
    mib = volume_mib(parts, room_mib)
    at = iso.write_frame(path, grub_image(), (GRUB / "boot_hybrid.img").read_bytes(), mib * MIB)
    fill_volume(path, at, mib, parts)
