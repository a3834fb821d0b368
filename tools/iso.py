# SPDX-License-Identifier: BSD-2-Clause
"""
The frame of a hybrid boot image: a disk and a CD at once, of two files and nothing else.

    sector 0     master boot record: GRUB's code; one partition, which is VOLUME.FAT
    16 17 18     primary volume descriptor, boot record, terminator    (ECMA-119, 8.4; El Torito 2.0)
    19 20 21     root directory, path tables for both byte orders      (ECMA-119, 9.1, 9.4)
    22           boot catalog: BIOS starts GRUB, UEFI takes the volume as its system partition
    23...        GRUB.IMG
    FIRST...     VOLUME.FAT, then padding

Sectors are a CD's, of 2048 bytes. A disk's block numbers, of 512 bytes, count from the same byte,
so both ways lead to the same bytes: whatever is edited in the partition is what GRUB reads.
"""
import struct
import zlib

SECTOR = 2048
BLOCK = 512
CATALOG, GRUB = 22, 23
VOLUME_ALIGN = 2**20 // SECTOR  # as every partitioning tool does, for the flash memory's sake
PADDING = 150                   # CD drives read ahead of what they are asked for
BIOS_ID, EFI_ID = 0, 0xef


def both16(value):
    return struct.pack("<H", value) + struct.pack(">H", value)


def both32(value):
    return struct.pack("<I", value) + struct.pack(">I", value)


def sectors(size):
    return -(-size // SECTOR)


def directory_record(name, sector, size, is_directory=False):
    """ECMA-119, 9.1. Dated 1 January 2026: no date of the build is in the image."""
    length = 33 + len(name) + (len(name) + 1) % 2
    record = (bytes([length, 0]) + both32(sector) + both32(size) + bytes([126, 1, 1, 0, 0, 0, 0]) +
              bytes([2 if is_directory else 0, 0, 0]) + both16(1) + bytes([len(name)]) + name)
    return record.ljust(length, b"\0")


def path_table(order):
    return struct.pack(order + "BBIH", 1, 0, 19, 1) + b"\0\0"


def primary_descriptor(total_sectors):
    """ECMA-119, 8.4."""
    no_date = b"0" * 16 + b"\0"
    return (b"\1CD001\1\0" + b" " * 32 + b"TERN".ljust(32) + bytes(8) + both32(total_sectors) + bytes(32) +
            both16(1) + both16(1) + both16(SECTOR) + both32(10) + struct.pack("<II", 20, 0) +
            struct.pack(">II", 21, 0) + directory_record(b"\0", 19, SECTOR, True) + b" " * (128 * 4 + 37 * 3) +
            no_date * 4 + b"\1\0").ljust(SECTOR, b"\0")


def boot_record():
    return b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", CATALOG)


def catalog(volume_sector):
    """
    El Torito 2.1 to 2.4. BIOS loads four blocks, GRUB's cdboot, which loads the rest. For UEFI a count
    of 0 means up to the end of the CD (UEFI 13.3.2.1): its 16 bits would end at 32 MiB.
    """
    def entry(blocks, sector):
        return struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, blocks, sector).ljust(32, b"\0")

    validation = struct.pack("<BBH24sHBB", 1, BIOS_ID, 0, b"", 0, 0x55, 0xaa)
    check = -sum(struct.unpack("<16H", validation)) & 0xffff
    validation = validation[:28] + struct.pack("<H", check) + validation[30:]
    return validation + entry(4, GRUB) + struct.pack("<BBH28s", 0x91, EFI_ID, 1, b"") + entry(0, volume_sector)


def boot_sector(code, volume_sector, volume_bytes):
    """
    GRUB's boot_hybrid.img, told where the rest of GRUB lies (behind cdboot). The partition's type is
    FAT32, which every system mounts: Windows hides partitions of type EFI, and all but the first of a
    stick; UEFI 5.2.1 lets firmware take either.
    """
    active, fat32_lba, no_chs = 0x80, 0x0c, b"\xfe\xff\xff"
    per_sector = SECTOR // BLOCK
    partition = struct.pack("<B3sB3sII", active, no_chs, fat32_lba, no_chs, volume_sector * per_sector,
                            volume_bytes // BLOCK)
    identity = struct.pack("<IH", zlib.crc32(partition), 0)
    return (code[:0x1b0] + struct.pack("<Q", (GRUB + 1) * per_sector) + identity + partition).ljust(510, b"\0") + \
        b"\x55\xaa"


def grub_image(cdboot, core):
    """
    cdboot and GRUB's core, each told where it lies: cdboot by the boot information table that
    mkisofs invented (at 8), the core's first block by the block number of its second (at 500).
    """
    image = bytearray(cdboot + core)
    image += bytes(-len(image) % 4)
    struct.pack_into("<Q", image, len(cdboot) + 500, GRUB * SECTOR // BLOCK + len(cdboot) // BLOCK + 1)
    check = sum(struct.unpack(f"<{(len(image) - 64) // 4}I", image[64:])) & 0xffffffff
    struct.pack_into("<IIII40x", image, 8, 16, GRUB, len(image), check)
    return bytes(image)


def write_frame(path, grub, hybrid, volume_bytes):
    """
    Writes all but the volume: a hole of that size is left for it. grub: grub_image()'s; hybrid: GRUB's
    code for the boot record. Returns the byte at which the volume begins.
    """
    volume = -(-(GRUB + sectors(len(grub))) // VOLUME_ALIGN) * VOLUME_ALIGN
    total = volume + sectors(volume_bytes) + PADDING
    root = (directory_record(b"\0", 19, SECTOR, True) + directory_record(b"\1", 19, SECTOR, True) +
            directory_record(b"GRUB.IMG;1", GRUB, len(grub)) +
            directory_record(b"VOLUME.FAT;1", volume, volume_bytes))
    parts = {0: boot_sector(hybrid, volume, volume_bytes), 16: primary_descriptor(total), 17: boot_record(),
             18: b"\xffCD001\1", 19: root, 20: path_table("<"), 21: path_table(">"), CATALOG: catalog(volume),
             GRUB: grub}
    with open(path, "wb") as image:
        for sector, data in parts.items():
            image.seek(sector * SECTOR)
            image.write(data)
        image.truncate(total * SECTOR)
    return volume * SECTOR
