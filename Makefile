# SPDX-License-Identifier: BSD-2-Clause
#
# make          build/tern.elf (the core) and build/BOOTX64.EFI (loader and core in one file)
# make check    host tests, layering, state layouts, static checks: under a minute
# make test     everything, what CI runs; installs what it misses (tools/setup)
# make demo     two Terns, one guest, one move; CPU=intel on VT-x, in Bochs
# make bench    what the README's figures come from
# make image    build/tern.iso, for USB stick, disk and CD (needs GRUB: tools/setup), and SHA256SUMS
# make layouts  record the layout of state that migrates, after thinking about versions
# make unit-X   one host test; also: objects files guests clean
#
# V=1 shows commands. CC=clang builds in build-clang/. FILES="a NAME=b" go into the image or archive,
# ROOM=256 leaves as many MiB free in the image.

CC := gcc
LD := ld
IS_CLANG := $(findstring clang,$(notdir $(CC)))
B := build$(if $(IS_CLANG),-clang)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

CPU := amd

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -rR -j$(shell nproc)
endif
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

# What runs on the machine that builds, and in tiny guests, is built by gcc whatever CC is.
HOST_CC := gcc
G := build/guest
GUEST_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -I. -mno-red-zone -mgeneral-regs-only -fno-pic \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none

# --- The core ---------------------------------------------------------------------------

CORE_C := $(wildcard kernel/*.c arch/*.c arch/*/*.c net/*.c net/port/*.c vmm/*.c vmm/dev/*.c vmm/disk/*.c \
	migrate/*.c) boot/pvh.c boot/multiboot2.c boot/collect.c boot/cpio.c boot/mem_map.c
CORE_S := $(wildcard arch/*.S arch/*/*.S vmm/*.S) boot/pvh.S boot/multiboot2.S boot/long_mode.S

# Each may set NAME_SOURCES (third-party files to compile), NAME_CFLAGS (flags for them) and
# net_CFLAGS or vmm_CFLAGS (where that folder finds the headers; use -isystem).
-include net/port/lwip.mk vmm/zydis.mk
THIRD_PARTY_C := $(lwip_SOURCES) $(zydis_SOURCES)

WARNINGS := -Wall -Wextra -Werror
FREESTANDING := -ffreestanding -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null)
CFLAGS := -std=gnu11 -O2 -g $(FREESTANDING) -I. \
	-mno-red-zone -mgeneral-regs-only -mcmodel=kernel -fno-pic -fno-pie -fno-common \
	-fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fcf-protection=none
LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none \
	--no-warn-rwx-segments -T linker.ld

# A loop that is memset must not become a call of memset inside memset.
ifeq ($(IS_CLANG),)
$(B)/kernel/string.o: CFLAGS += -fno-tree-loop-distribute-patterns
endif
$(B)/net/%.o: CFLAGS += $(net_CFLAGS)
$(B)/vmm/%.o: CFLAGS += $(vmm_CFLAGS)
$(B)/third_party/lwip/%.o: CFLAGS += $(lwip_CFLAGS)
$(B)/third_party/zydis/%.o $(B)/third_party/zycore-c/%.o: CFLAGS += $(zydis_CFLAGS)
$(B)/third_party/%: WARNINGS := -w

OBJECTS := $(CORE_C:%.c=$(B)/%.o) $(CORE_S:%.S=$(B)/%.S.o) $(THIRD_PARTY_C:%.c=$(B)/%.o)

.PHONY: all objects
all: $(B)/tern.elf $(B)/BOOTX64.EFI
objects: $(OBJECTS)

# A tiny guest is vmm/selftest/{start.S,lib.c} and one file: the self-test's, which the core carries
# inside, or one of tests/guest.
TINY := $(G)/obj/start.S.o $(G)/obj/lib.o vmm/selftest/guest.ld
TINY_LD = $(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --no-warn-rwx-segments \
	-T vmm/selftest/guest.ld -o $@ $(filter %.o,$^)

TINY_CC = $(Q)mkdir -p $(@D) && $(HOST_CC) $(GUEST_CFLAGS) $(WARNINGS) -MMD -MP -c $< -o $@

$(G)/obj/%.o: vmm/selftest/%.c Makefile
	$(TINY_CC)
$(G)/obj/%.S.o: vmm/selftest/%.S Makefile
	$(TINY_CC)
$(G)/obj/%.o: tests/guest/%.c Makefile
	$(TINY_CC)

$(G)/selftest.elf: $(G)/obj/guest.o $(TINY)
	$(Q)$(TINY_LD) -s
$(B)/vmm/selftest_image.S.o: $(G)/selftest.elf

# The guest's DSDT, as an array that vmm/acpi_tables.c includes.
build/gen/dsdt.hex: vmm/dev/dsdt.asl Makefile
	$(call say,IASL,$<)
	@mkdir -p $(@D)
	$(Q)iasl -we -tc -p $(@D)/dsdt $< >$(@D)/dsdt.log 2>&1 || { cat $(@D)/dsdt.log >&2; exit 1; }
	$(Q)sed -i 's/^unsigned char/static const unsigned char/' $@
$(B)/vmm/acpi_tables.o build/host/vmm/acpi_tables.o: build/gen/dsdt.hex

# The screen's letters: tools/setup installs the font.
FONT := /usr/share/consolefonts/spleen-8x16.psfu.gz
build/gen/font.hex: $(FONT) tools/font
	$(call say,FONT,$<)
	@mkdir -p $(@D)
	$(Q)tools/font $< >$@
$(B)/arch/pixels.o build/host/arch/pixels.o: build/gen/font.hex
$(FONT):
	@echo "$@ is missing: run tools/setup, which installs Debian's package fonts-spleen" >&2; exit 1

$(B)/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(WARNINGS) -MMD -MP -c $< -o $@

$(B)/%.S.o: %.S Makefile
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(WARNINGS) -D__ASSEMBLER__ -MMD -MP -c $< -o $@

third_party/%:
	@echo "$@ is missing: run tools/setup, which fetches the third-party sources" >&2; exit 1

# Linked twice: the second time with the table of function names that a panic's backtrace reads.
$(B)/tern.first.elf: $(OBJECTS) linker.ld
	$(call say,LD,$@)
	$(Q)$(LD) $(LDFLAGS) -o $@ $(OBJECTS)

$(B)/symbols.S: $(B)/tern.first.elf tools/symbols
	$(Q)nm -n $< | tools/symbols >$@

$(B)/symbols.o: $(B)/symbols.S
	$(Q)$(CC) -c $< -o $@

$(B)/tern.elf: $(B)/tern.first.elf $(B)/symbols.o
	$(call say,LD,$@)
	$(Q)$(LD) $(LDFLAGS) -o $@ $(OBJECTS) $(B)/symbols.o

-include $(OBJECTS:.o=.d)

# --- The back end alone: tests/bare ---------------------------------------------------------

# The machine and the kernel with a test in place of net, vmm and migrate.
BARE_OBJECTS := $(filter $(B)/kernel/% $(B)/arch/% $(B)/boot/%,$(OBJECTS)) \
	$(B)/tests/bare/hv.o $(B)/tests/bare/hv_guest.S.o

$(B)/bare/hv.elf: $(BARE_OBJECTS) linker.ld
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LD) $(LDFLAGS) -o $@ $(BARE_OBJECTS)

# All but net and migrate, with a test in their place.
DIRTY_OBJECTS := $(filter-out $(B)/net/% $(B)/migrate/% $(B)/third_party/lwip/%,$(OBJECTS)) \
	$(B)/tests/bare/dirty.o $(B)/tests/bare/dirty_guest.S.o

$(B)/bare/dirty.elf: $(DIRTY_OBJECTS) linker.ld
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(LD) $(LDFLAGS) -o $@ $(DIRTY_OBJECTS)

-include $(B)/tests/bare/hv.d $(B)/tests/bare/dirty.d

# --- The UEFI loader, with the core inside ------------------------------------------------

# gnu-efi's own way of making an EFI file: a shared object that relocates itself, in PE clothes.
EFI_DIR := $(firstword $(patsubst %/crt0-efi-x86_64.o,%,$(wildcard /usr/lib/crt0-efi-x86_64.o \
	/usr/lib/*/crt0-efi-x86_64.o /usr/lib/gnuefi/crt0-efi-x86_64.o)))
EFI_C := boot/efi_main.c boot/efi_core.c boot/efi_files.c boot/efi_net.c boot/efi_leave.c boot/dhcp.c boot/conf_files.c \
	boot/mem_map.c
EFI_OBJECTS := $(EFI_C:boot/%.c=$(B)/efi/%.o) $(B)/efi/core_blob.S.o
EFI_CFLAGS := -std=gnu11 -O2 -ffreestanding -I. -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 \
	-DGNU_EFI_USE_MS_ABI -fpic -fshort-wchar -mno-red-zone -fno-stack-protector -fno-strict-aliasing \
	-fcf-protection=none -fno-asynchronous-unwind-tables

$(B)/efi/%.o: boot/%.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(EFI_CFLAGS) $(WARNINGS) -MMD -MP -c $< -o $@

$(B)/efi/core_blob.S.o: boot/core_blob.S $(B)/tern.stripped
	@mkdir -p $(@D)
	$(Q)$(CC) -DCORE_ELF='"$(B)/tern.stripped"' -c $< -o $@

$(B)/tern.stripped: $(B)/tern.elf
	$(Q)strip -o $@ $<

$(B)/loader.so: $(EFI_OBJECTS)
	$(Q)$(LD) -nostdlib -shared -Bsymbolic -znocombreloc --no-warn-rwx-segments -T $(EFI_DIR)/elf_x86_64_efi.lds \
		-o $@ $(EFI_DIR)/crt0-efi-x86_64.o $(EFI_OBJECTS) -L $(EFI_DIR) -lefi -lgnuefi --no-undefined

$(B)/BOOTX64.EFI: $(B)/loader.so
	$(call say,EFI,$@)
	$(Q)objcopy -j .text -j .sdata -j .data -j .rodata -j .dynamic -j .dynsym -j .rel -j .rela -j '.rel.*' -j '.rela.*' \
		-j .reloc --target efi-app-x86_64 --subsystem=10 $< $@

-include $(EFI_OBJECTS:.o=.d)

# --- What the PVH entry reads ------------------------------------------------------------

# The archive of boot files: make files FILES="tern.conf build/guest/vmlinuz"
.PHONY: files FORCE
files: build/files.cpio
build/files.cpio: FORCE
	$(call say,PACK,$@)
	@mkdir -p $(@D)
	$(Q)tools/pack $@ $(FILES)

# --- Host tests: the core's files under the host's compiler, with sanitizers ------------

# A test names the core's files that it is linked with: /* SOURCES: kernel/page.c ... */
H := build/host
HOST_TESTS := $(wildcard tests/host/*_test.c)
with_libc = $(subst -isystem net/port/libc,,$(1)) # the host has a real one
HOST_CFLAGS := -std=gnu11 -O1 -g -Itests/host/fake -I. -fno-pie -fno-strict-aliasing -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all $(call with_libc,$(net_CFLAGS) $(vmm_CFLAGS))
HOST_LDFLAGS := -no-pie -Wl,-T,tests/host/sets.ld -Wl,--no-warn-rwx-segments

$(H)/tests.mk: $(HOST_TESTS) $(wildcard tests/host/fake/*.c) tools/host-tests Makefile
	@mkdir -p $(@D)
	@tools/host-tests $(HOST_TESTS) >$@
ifneq ($(filter check check-% $(H)/% unit-%,$(MAKECMDGOALS)),)
include $(H)/tests.mk
endif

$(H)/third_party/%: WARNINGS := -w
$(H)/third_party/lwip/%.o: HOST_CFLAGS += $(call with_libc,$(lwip_CFLAGS))
$(H)/third_party/zydis/%.o $(H)/third_party/zycore-c/%.o: HOST_CFLAGS += $(zydis_CFLAGS)
$(H)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(WARNINGS) -MMD -MP -c $< -o $@

$(H)/%_test: tests/host/sets.ld
	$(call say,LINK,$@)
	$(Q)$(HOST_CC) $(HOST_CFLAGS) $(HOST_LDFLAGS) -o $@ $(filter %.o,$^) -lcmocka $($*_LIBS)

-include $(shell find $(H) -name '*.d' 2>/dev/null)

unit-%: $(H)/%_test
	@$< >$<.log 2>&1 || { cat $<.log; echo "  FAIL    unit $*"; exit 1; }
	$(call pass,"$*: $$(grep -ao '[0-9]* test(s) run' $<.log)")

# --- Static checks ----------------------------------------------------------------------

pass = @printf '  %-7s %s\n' PASS $(1)

CODE := $(shell find kernel arch net vmm migrate boot -name '*.[chS]' 2>/dev/null)
HEADERS := $(filter-out net/port/% boot/efi.h,$(filter %.h,$(CODE)))
LAYOUT_ENV = CC='$(HOST_CC)' CFLAGS='$(CFLAGS) $(vmm_CFLAGS)'
CHECKS := check-layers check-vendors check-headers check-unused check-layout check-devices check-xmm check-harden $(if $(shell command -v clang),check-clang)

.PHONY: $(CHECKS) check-units check layouts
check-layers:
	@tools/layers $(CODE)
	$(call pass,"layers: includes follow the folders' order")

check-vendors:
	@tools/vendor-names $(filter-out net/port/%,$(CODE))
	$(call pass,"vendors: nothing outside arch/ names one")

# A header stands alone.
check-headers:
	@for header in $(HEADERS); do \
		echo "#include \"$$header\"" | $(CC) $(CFLAGS) $(net_CFLAGS) $(vmm_CFLAGS) $(WARNINGS) \
			-fsyntax-only -x c - || exit 1; \
	done
	$(call pass,"headers: each stands alone")

check-unused: $(B)/tern.elf
	@tools/unused $(filter $(B)/boot/% $(B)/kernel/% $(B)/arch/% $(B)/net/% $(B)/vmm/% $(B)/migrate/%,$(OBJECTS))
	$(call pass,"unused: each function of the core has a caller in it")

check-layout:
	@$(LAYOUT_ENV) tools/state-layout --check
	$(call pass,"state layout: as recorded in migrate/state-layout.txt")

check-devices: $(B)/tern.elf
	@tools/device-data $(filter $(B)/vmm/dev/%,$(OBJECTS))
	$(call pass,"devices: no writable data outside state and wires")

check-xmm: $(B)/tern.elf
	@tools/xmm-check $<
	$(call pass,"xmm: the image leaves the guest's registers alone")

check-harden: $(B)/tern.elf
	@tools/harden-check $<
	$(call pass,"hardening: its steps are in the image in their order")

check-clang:
	@$(MAKE) --no-print-directory CC=clang all
	$(call pass,"clang: builds without warnings")

layouts:
	@mkdir -p $(B)
	@$(LAYOUT_ENV) tools/state-layout >$(B)/state-layout.txt
	@mv $(B)/state-layout.txt migrate/state-layout.txt

check-units: $(HOST_UNITS)

# -k: all that fails is shown. The last line counts, for those who only read that.
check:
	@rm -f $(H)/*_test.log
	@$(MAKE) --no-print-directory -k all check-units $(CHECKS) || { echo "check: failed"; exit 1; }
	@cat $(H)/*_test.log | awk -v checks=$(words $(CHECKS)) '/PASSED.*test\(s\)/ { n += $$4 } \
		END { printf "check: %d passed, 0 failed\n", n + checks }'

# --- Guests -----------------------------------------------------------------------------

# Each tests/guest/t_NAME.c (a test) or b_NAME.c (a bench) is one tiny PVH guest.
GUEST_TESTS := $(patsubst tests/guest/%.c,$(G)/%.elf,$(wildcard tests/guest/[bt]_*.c))
$(GUEST_TESTS): $(G)/%.elf: $(G)/obj/%.o $(TINY)
	$(call say,GUEST,$@)
	$(Q)$(TINY_LD)

$(G)/initramfs.cpio.gz: tools/initramfs $(wildcard tests/lab/guest/*)
	$(call say,PACK,$@)
	@mkdir -p $(@D)
	$(Q)tools/initramfs $@

.PHONY: guests
guests: $(GUEST_TESTS) $(G)/initramfs.cpio.gz $(B)/bare/hv.elf $(B)/bare/dirty.elf

-include $(shell find $(G)/obj -name '*.d' 2>/dev/null)

# --- Jobs of minutes, in emulators ------------------------------------------------------

# tools/setup may install the compiler, so what follows it is a make of its own.
.PHONY: test demo bench soak run-test run-demo run-bench run-soak
test demo bench soak:
	@tools/setup $(if $(filter test,$@),test,$(CPU))
	@$(MAKE) --no-print-directory run-$@

run-test: check
	@$(MAKE) --no-print-directory all guests
	/usr/bin/python3 -m pytest -q -p no:cacheprovider --junitxml=build/lab.xml tests/lab

run-demo: all guests
	@tools/demo --cpu $(CPU)

run-bench: all guests
	@tools/bench

run-soak: all guests
	@tools/soak

# --- Release ----------------------------------------------------------------------------

# One image for USB stick, disk and CD, UEFI and BIOS; FILES and ROOM for more (in MiB) in its FAT volume.
# BOOTX64.EFI alone is what a machine starts from the network.
ROOM := 64
RELEASE := tern.iso BOOTX64.EFI tern.elf
.PHONY: image clean
image: build/SHA256SUMS
build/SHA256SUMS: build/tern.iso
	$(Q)cd build && sha256sum $(RELEASE) >SHA256SUMS
build/tern.iso: $(B)/BOOTX64.EFI FORCE
	$(call say,IMAGE,$@)
	$(Q)tools/pack --room $(ROOM) $@ $(FILES)

clean:
	rm -rf build build-clang
